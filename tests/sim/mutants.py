#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""mutants.py [--check | NUMBER...] - plants one fault at a time in a copy of the tree; the simulator must
find each.

A checker that finds nothing wrong may be looking at nothing. Each mutant below is a mistake that
systems like this one have made: a sync skipped, a sequence not checked, space reused too early. It is
applied to a copy of the sources, built, and PROGRAMS run; a mutant that survives is an error.
Whatever the text to be replaced has become must be mended here: a mutant that does not apply is an
error, too (--check looks at that alone, lint_mutants does so in every run of the tests). LSVD_SIM_RUNS says how long to look (default 400 runs each).
"""
import os, pathlib, shutil, subprocess, sys, tempfile

PROGRAMS = ("test_sim_volume", "test_sim_rival", "test_sim_hardship", "test_sim_mirror", "test_sim_vlog")

MUTANTS = [
    ("a flush is acknowledged before the sync", "lib/wal/wal_sync.c",
     "	if (t->pos <= w->durable) {", "	if (t->pos <= w->published) {"),
    ("a sync makes durable what was published while it ran", "lib/wal/wal_sync.c",
     "	w->durable = w->sync_pos;\n	w->durable_op = w->sync_op;",
     "	w->durable = w->published;\n	w->durable_op = w->published_op;"),
    ("a superblock counts before it is synced", "lib/wal/wal_sync.c",
     "	w->super_state = SUPER_WRITTEN;\n	lsvd_wal_start_sync(w);", "	super_is_durable(w);"),
    ("both superblocks go into one slot", "lib/wal/wal_sync.c",
     "(w->super.generation & 1) * WAL_SLOT_BYTES", "0 * WAL_SLOT_BYTES"),
    ("space is given up before its segment is stored", "lib/wal/wal_sync.c",
     "	w->super.tail = w->stored;\n	w->super.tail_op = w->stored_op + 1;\n	w->super.tail_run = w->stored_run;\n	w->super.durable = w->durable;",
     "	w->super.tail = w->published;\n	w->super.tail_op = w->published_op + 1;\n	w->super.tail_run = w->last_run;\n	w->super.durable = w->durable;"),
    ("data of the log is not verified on recovery", "lib/wal/wal_replay.c",
     "	if (!data_matches(s, g, p + h.header_bytes)) {", "	if (false) {"),
    ("groups are published in the order their writes end", "lib/wal/wal.c",
     "	while (g && g->state == WAL_WRITTEN) {", "	while (g && g->state != WAL_WRITTEN)\n		g = g->link.next == &w->groups ? NULL : list_entry(g->link.next, struct wal_group, link);\n	while (g && g->state == WAL_WRITTEN) {"),
    ("ring space is reused while replay needs it", "lib/wal/wal.c",
     "	if (g->head.pos + g->span > w->given_up || g->refs", "	if (g->head.pos + g->span > w->stored || g->refs"),
    ("overlay entries outlive their ring space", "lib/volume/vol_write.c",
     "	return e->lba >= p->r->lba && e->kind", "	return false && e->lba >= p->r->lba && e->kind"),
    ("a segment is put before its records are durable", "lib/volume/vol_destage.c",
     "	if (s->state != VSEG_READY || !s->durable || s->volume->failed)", "	if (s->state != VSEG_READY || s->volume->failed)"),
    ("trims are not part of segments", "lib/volume/vol_apply.c",
     "		err = lsvd_store_map_remove(v->map, e->lba + left, e->sectors - left, gone, v);", "		err = 0;"),
    ("the map moves while a checkpoint is taken", "lib/volume/vol_checkpoint.c",
     "	v->frozen = true;", ""),
    ("a checkpoint says it stands one object later", "lib/volume/vol_checkpoint.c",
     "	c->at = (struct place){ lsvd_log_epoch(v->log), v->stored_seq };",
     "	c->at = (struct place){ lsvd_log_epoch(v->log), v->stored_seq + 1 };"),
    ("pages that became empty stay in the root", "lib/volume/checkpoint_encode.c",
     "	c->node[page % PAGE_NODE] = ref;", "	if (ref.object)\n		c->node[page % PAGE_NODE] = ref;"),
    ("the root is named before it is stored", "lib/volume/vol_checkpoint.c",
     "	lsvd_log_put_free(c->v->log, &c->root_put);\n}", "	(void)lsvd_log_set_root(c->v->log, (struct root_ref){ c->at.epoch, c->root_number });\n	lsvd_log_put_free(c->v->log, &c->root_put);\n}"),
    ("nodes of objects that changed are not saved", "lib/volume/checkpoint_encode.c",
     "		if (node && (node->dirty || lsvd_checkpoint_empties(c, node->saved.object)))", "		if (node && (!node->saved.object || lsvd_checkpoint_empties(c, node->saved.object)))"),
    ("what is dead is deleted before the root is named", "lib/volume/vol_delete.c",
     "	if (lsvd_log_acked_seq(v->log) < v->root_named_by) {", "	if (false) {"),
    ("chain objects behind the anchor's place are deleted", "lib/log/log_delete.c",
     "v->number < d->before);", "v->number < log->acked_seq);"),
    ("live bytes are counted twice off", "lib/volume/vol_apply.c",
     "	lsvd_object_table_live(&v->objects, e->object, -(int64_t)e->len * (int64_t)SECTOR_BYTES,\n",
     "	lsvd_object_table_live(&v->objects, e->object, -2 * (int64_t)e->len * (int64_t)SECTOR_BYTES,\n"),
    ("an adoption does not look where the data was", "lib/volume/vol_adopt.c",
     "		if (part.kind == MAP_ZERO || part.object != p->source)\n			continue;\n", ""),
    ("an adoption does not see a page that is away", "lib/volume/vol_adopt.c",
     "	int err = swap_later(v, &e, p->source);\n", "	int err = 0;\n"),
    ("what is adopted from nowhere is not placed", "lib/volume/vol_adopt.c",
     "	if (p->source)\n		return adopt_piece", "	if (true)\n		return adopt_piece"),
    ("an adoption is not replayed", "lib/volume/vol_adopt.c",
     "	if (v->listing)\n		return 1;", "	return 1;"),
    ("what a snapshot needs is deleted", "lib/volume/vol_delete.c",
     " && !lsvd_snapshots_needing(&v->snapshots, e);", ";"),
    ("the chain between a snapshot's root and its note is deleted", "lib/volume/snapshot_table.c",
     "(e->home != HOME_MOVED && is_before(s->root_at, e->born))", "false"),
    ("a snapshot's pages live as long as its data", "lib/volume/snapshot_table.c",
     "		s = lsvd_snapshots_from_root(t, e->born);\n		return s && !dead_at(e, root_place(s)) ? s : NULL;",
     "		s = lsvd_snapshots_from_root(t, e->born);\n		return s && !dead_at(e, s->root_at) ? s : NULL;"),
    ("objects are chosen for deletion between a snapshot's ack and its entry", "lib/volume/vol_delete.c",
     " || lsvd_vol_snapshot_is_between(v))", ")"),
    ("a rollback leaves the local log as it is", "lib/volume/vol_rollback.c",
     "	if (!err)\n		err = empty_log(v);\n", ""),
    ("a rollback's note names the root before it", "lib/volume/vol_snapshot.c",
     "	op->put.new_root = root;\n", ""),
    ("page objects that a rollback needs again stay dead", "lib/volume/vol_rollback.c",
     "	lsvd_object_table_revive(t, object);\n", ""),
    ("a snapshot is not in the root", "lib/volume/checkpoint_encode.c",
     "		if (t->nodes[i]->dirty || lsvd_checkpoint_empties(c, t->nodes[i]->saved.object))", "		if (lsvd_checkpoint_empties(c, t->nodes[i]->saved.object))"),
    ("a snapshot goes although clones need it", "lib/volume/vol_users.c",
     "		if (!err && s.count)\n			err = refuse_used(&s, what);", ""),
    ("a base goes although clones need it", "lib/volume/vol_users.c",
     "	if (!err && all.count)\n		err = refuse_used(&all, what);", ""),
    ("a clone is not entered at its base", "lib/volume/vol_clone.c",
     "	int err = change_uses(c->port, &c->clone, SLOT_ADD);\n", "	int err = 0;\n"),
    ("above a lower volume a trim leaves a hole", "lib/volume/vol_apply.c",
     "left = e->lba < v->hides ? min_u64(left, v->hides - e->lba) : 0;", "left = 0;"),
    ("above a lower volume pages of zeroes are holes", "lib/volume/vol_lower.c",
     "	if (!err)\n		lsvd_store_map_keep_zeroes(v->map, v->hides);\n", ""),
    ("a clone deletes what is its base's", "lib/volume/vol_delete.c",
     "e->died.epoch && !e->ancestor &&\n", "e->died.epoch &&\n"),
    ("a clone takes what its base made after the root for its own", "lib/volume/vol_clone.c",
     "	*ret_next_object = err ? 0 : chain.next_object;", "	*ret_next_object = err ? 0 : c->s.root.number;"),
    ("a snapshot that is deleted stays in the root", "lib/volume/snapshot_table.c",
     "			node->count--;\n			node->dirty = true;", "			node->count--;"),
    ("a volume is cut before its end is trimmed", "lib/volume/vol_resize.c",
     "	return trim_beyond(v, bytes);", "	return 0;"),
    ("another size is not in the chain", "lib/volume/vol_snapshot.c",
     "	op->put.volume_bytes = bytes;", "	op->put.volume_bytes = v->chain_bytes;"),
    ("what leads to a snapshot's objects goes with the next checkpoint", "lib/volume/snapshot_table.c",
     "	case HOME_ROOT:\n		s = lsvd_snapshots_from_root(t, name);\n		return s && s->root.epoch == e->epoch && s->root.number == e->seq ? s : NULL;", "	case HOME_ROOT:\n		(void)name;\n		return NULL;"),
    ("who makes a clone does not look again", "lib/volume/vol_clone.c",
     "	struct snapshot s;\n	int err = lsvd_lineage_find(c->port, OBJECT_VOLUME, u->name, &volume);\n",
     "	struct snapshot s;\n	int err = 0;\n\n	if (!err)\n		return 0;\n	err = lsvd_lineage_find(c->port, OBJECT_VOLUME, u->name, &volume);\n"),
    ("who deletes a base does not look again", "lib/volume/vol_admin.c",
     "	int err = lsvd_vol_refuse_base(v, record, false);\n", "	int err = 0;\n"),
    ("the name of what is deleted goes before it is sure", "lib/volume/vol_admin.c",
     "	err = take_for_good(v, &record, claim);\n	if (err)\n",
     "	err = lsvd_lineage_forget(&v->port, &record);\n	if (!err)\n		err = take_for_good(v, &record, claim);\n	if (err)\n"),
    ("a snapshot that is closed is cloned", "lib/volume/vol_slots.c",
     "		if (s->closed && slot->what == SLOT_ADD)", "		if (false)"),
    ("what was moved is adopted before it is stored", "lib/volume/vol_adopt.c",
     "	lsvd_log_put_free(v->log, &m->put);\n}", "	done(&m->put, 0);\n}"),
    ("what the newest run found void may come back", "lib/wal/wal_replay.c",
     "	if (h->run > super->run || (h->pos >= super->run_start && h->run != super->run))\n		return false;\n	if (h->first_op != s->op)\n		return false;\n	return h->run == s->run || (h->run > s->run && h->prev_run == s->run);",
     "	return h->first_op == s->op;"),
    ("recovery forgets the newest group", "lib/volume/vol_replay.c",
     "	if (g->head.records == 0)\n		return 0;\n	if (group_last_op(g)", "	if (g->head.records == 0 || group_last_op(g) + 1 == lsvd_wal_next_op(v->wal))\n		return 0;\n	if (group_last_op(g)"),
    ("a FUA write does not wait", "lib/volume/vol_write.c",
     "	if (!io->err && (io->flags & LSVD_IO_FUA))\n		lsvd_vol_flush(v, io);\n	else\n", ""),
    ("a remote flush does not wait for the store", "lib/volume/vol_flush.c",
     "	if (v->stored_op >= target) {", "	if (true) {"),
    ("a torn group is passed over as if the store had it", "lib/wal/wal_replay.c",
     "w->gaps[i].last_op > stored_op)", "w->gaps[i].vouched && w->gaps[i].last_op > stored_op)"),
    ("log space is given up before the mirror is synced", "lib/volume/vol_mirror.c",
     "	m->syncing = true;\n	m->covers_all = m->lacks;\n	m->covered = m->noted;", "	tell_log(m, m->noted, m->noted_op);\n	return;\n	m->covered = m->noted;"),
    ("a snapshot is called complete before it is synced", "lib/volume/mirror_build.c",
     "		if (m->appends_out == 0 && !m->syncing)\n			settle(m);\n", "		m->target->head.snapshot_end = m->target->end;\n		seal(m);\n"),
    ("what is stored while a snapshot is made goes into the old file only", "lib/volume/vol_mirror.c",
     "	if (m->target && !err)\n		err = append(m, m->target, MIRROR_CHAIN",
     "	if (m->target && !m->current && !err)\n		err = append(m, m->target, MIRROR_CHAIN"),
    ("the newer mirror is overwritten by the next one", "lib/volume/mirror_open.c",
     "	m->current = newest(m);", "	m->current = newest(m) == &m->files[0] ? &m->files[1] : &m->files[0];"),
    ("what a mirror lacks is not written when it is gone on with", "lib/volume/mirror_open.c",
     "	return write_record(m, m->goes_on, MIRROR_CHAIN, bytes, head->header_bytes);", "	return 0;"),
    ("the log is told of what a mirror that is being sealed lacks", "lib/volume/vol_mirror.c",
     " &&\n	    m->phase <= BUILD_SETTLE)", ")"),
    ("a value log drops by its statistics alone", "lib/vlog/vlog_drop.c",
     "			err = recount(log, ids[i], &s, index, &stale);\n",
     "			stale = true;\n"),
    ("a commit names segments that are not stored yet", "lib/vlog/vlog_writer.c",
     "	if (!err)\n		err = wait_for_puts(w, 0);\n	if (!err)\n		err = commit_noted",
     "	if (!err)\n		err = commit_noted"),
    ("pins do not keep segments from being dropped", "lib/vlog/vlog_drop.c",
     "	return !s->pins && !s->doomed;", "	return !s->doomed;"),
    ("segments that a writer of this epoch has yet to commit are orphans", "lib/vlog/vlog_drop.c",
     "	    k.epoch >= lsvd_log_epoch(o->log->log))", "	    k.epoch > lsvd_log_epoch(o->log->log))"),
    ("a value log's root says it stands one object later", "lib/vlog/vlog_checkpoint.c",
     "lsvd_log_acked_seq(log->log), &r->bytes,", "lsvd_log_acked_seq(log->log) + 1, &r->bytes,"),
    ("a value log removes what is dead before the root is named", "lib/vlog/vlog_checkpoint.c",
     "	if (!err && !lsvd_vlog_root_is_named(log))\n		err = lsvd_vlog_note_root(log);", ""),
    ("a value log removes in turn what a root lists that nothing names", "lib/vlog/vlog_checkpoint.c",
     "	if (lsvd_vlog_root_is_named(log))\n		removed = remove_listed(log, NULL);\n	/*\n	 * What a store refuses to remove stays; it must not keep the log from\n	 * being short to replay.\n	 */\n	if (removed != LSVD_E_FENCED)\n		err = write_root(log);\n",
     "	err = write_root(log);\n	if (!err)\n		removed = remove_listed(log, NULL);\n"),
    ("records are not bound to their segment", "lib/vlog/vlog_record.c",
     "	le64_put(p, lsvd_hash_bind(hash, at->owner, at->segment, at->offset));",
     "	le64_put(p, lsvd_hash_bind(hash, at->owner, 0, at->offset));"),
]


def copy_tree(root, to):
    for part in ("lib", "include", "tests", "tools", "docs", "pkgconfig", "CMakeLists.txt"):
        if (root / part).is_dir():
            shutil.copytree(root / part, to / part)
        elif (root / part).exists():
            shutil.copy(root / part, to / part)


def build(tree, out):
    subprocess.run(["cmake", "-S", tree, "-B", out, "-G", "Ninja"], check=True,
                   stdout=subprocess.DEVNULL)
    done = subprocess.run(["ninja", "-C", out, *PROGRAMS], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print(done.stdout[-2000:])
    return done.returncode == 0


def run(out, name):
    program = next(p for p in pathlib.Path(out).rglob(name) if p.is_file())
    env = dict(os.environ, CK_FORK="no")
    env.setdefault("LSVD_SIM_RUNS", "400")
    try:
        done = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              env=env, timeout=600)
    except subprocess.TimeoutExpired:
        return "it hangs"
    if done.returncode == 0:
        return None
    lines = [line for line in done.stdout.splitlines() if ":F:" in line or ":E:" in line]
    return lines[0].split(":", 6)[-1].strip() if lines else f"it ends with {done.returncode}"


def find_it(out, file):
    """What belongs to the value log alone, its own program has to find."""
    programs = PROGRAMS[-1:] if file.startswith("lib/vlog/") else PROGRAMS[:-1]
    return next(filter(None, (run(out, name) for name in programs)), None)


def check(root):
    """Which do not apply: the text is gone, or stands in two places."""
    astray = [m for m in MUTANTS if (root / m[1]).read_text().count(m[2]) != 1]
    for name, file, old, _ in astray:
        print(f"{name}: does not apply to {file}, which is to have once:\n{old}")
    return 1 if astray else 0


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    if sys.argv[1:] == ["--check"]:
        return check(root)
    chosen = [int(a) for a in sys.argv[1:]] or range(1, len(MUTANTS) + 1)
    survived = []
    with tempfile.TemporaryDirectory(prefix="lsvd-mutants-") as tmp:
        tree, out = pathlib.Path(tmp) / "tree", pathlib.Path(tmp) / "build"
        tree.mkdir()
        copy_tree(root, tree)
        for n in chosen:
            name, file, old, new = MUTANTS[n - 1]
            path = tree / file
            text = path.read_text()
            if text.count(old) != 1:
                print(f"{n:2} {name}: does not apply to {file}")
                survived.append(n)
                continue
            path.write_text(text.replace(old, new))
            how = find_it(out, file) if build(tree, out) else None
            path.write_text(text)
            print(f"{n:2} {name}: {'found: ' + how if how else 'NOT FOUND'}", flush=True)
            if not how:
                survived.append(n)
    print(f"{len(chosen) - len(survived)} of {len(chosen)} planted faults found")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
