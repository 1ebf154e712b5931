/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_xml.h - the small documents of S3: errors, pages of listings, lists of what is to be deleted.
 *
 * What a server sends is not trusted: no entities, no network, a bound on depth and length (the
 * caller's), every number checked. Namespaces are ignored.
 */
#ifndef STORE_S3_XML_H
#define STORE_S3_XML_H

#include "store/s3_client.h"

/* An error document into r->code and r->message; what is none leaves them as they are. */
void lsvd_s3_xml_error(struct s3_request *r, const char *text, size_t len);

/*
 * A page of a listing: calls r->listed for each object and sets r->next; only when all of it has
 * been understood. false: it is no such page, or there is no memory.
 */
bool lsvd_s3_xml_page(struct s3_request *r, const char *text, size_t len);

/* The answer to a deletion of many: calls r->not_deleted. false: it is no such answer. */
bool lsvd_s3_xml_deleted(struct s3_request *r, const char *text, size_t len);

/* What to delete, as a document; NULL: no memory. lsvd_free() it. */
char *lsvd_s3_xml_delete(const char *const *keys, unsigned count, size_t *ret_len);

#endif
