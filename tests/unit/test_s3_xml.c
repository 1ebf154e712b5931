/* SPDX-License-Identifier: BSD-2-Clause */
/* test_s3_xml.c - the documents of S3, those that servers send and those that they should not. */
#include "base/alloc.h"
#include "store/s3_xml.h"
#include "t_check.h"

static struct s3_request r;
static char seen[1024];

static void setup(void)
{
	memset(&r, 0, sizeof r);
	seen[0] = '\0';
}

static void note(struct s3_request *request, const struct s3_listed *o)
{
	size_t len = strlen(seen);

	ck_assert_ptr_eq(request, &r);
	(void)snprintf(seen + len, sizeof seen - len, "%s=%llu@%lld ", o->key,
		       (unsigned long long)o->bytes, (long long)o->modified_ms);
}

static void note_undeleted(struct s3_request *request, const char *key, const char *code)
{
	size_t len = strlen(seen);

	ck_assert_ptr_eq(request, &r);
	(void)snprintf(seen + len, sizeof seen - len, "%s:%s ", key, code);
}

static bool page(const char *text)
{
	r.listed = note;
	return lsvd_s3_xml_page(&r, text, strlen(text));
}

static bool deleted(const char *text)
{
	r.not_deleted = note_undeleted;
	return lsvd_s3_xml_deleted(&r, text, strlen(text));
}

#define PAGE(inner) \
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>" \
	"<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" inner \
	"</ListBucketResult>"
#define LAST "<IsTruncated>false</IsTruncated>"
#define OBJECT(key, size) \
	"<Contents><Key>" key "</Key><LastModified>2026-01-31T23:59:59.123Z</LastModified>" \
	"<ETag>&quot;x&quot;</ETag><Size>" size "</Size></Contents>"

START_TEST(s3_xml_page_is_told_object_by_object)
{
	ck_assert(page(PAGE("<Name>b</Name>" LAST OBJECT("a/b", "5")
			    "<Contents><Size>18446744073709551615</Size><Key>c</Key></Contents>")));
	ck_assert_str_eq(seen, "a/b=5@1769903999123 c=18446744073709551615@0 ");
	ck_assert_str_eq(r.next, "");
}
END_TEST

START_TEST(s3_xml_page_that_is_not_the_last_says_where_it_goes_on)
{
	ck_assert(page(PAGE("<IsTruncated>true</IsTruncated>" OBJECT("a", "1")
			    "<NextContinuationToken>1/x+y=&amp;</NextContinuationToken>")));
	ck_assert_str_eq(r.next, "1/x+y=&");
	ck_assert(!page(PAGE("<IsTruncated>true</IsTruncated>" OBJECT("a", "1"))));
	ck_assert(!page(PAGE("<IsTruncated>perhaps</IsTruncated>")));
	ck_assert(!page(PAGE("")));
}
END_TEST

START_TEST(s3_xml_keys_are_unescaped_if_the_page_says_that_they_are_escaped)
{
	ck_assert(page(PAGE(LAST OBJECT("a%2Fb+c", "1") OBJECT("x &amp; &lt;y&gt;", "2"))));
	ck_assert_str_eq(seen, "a%2Fb+c=1@1769903999123 x & <y>=2@1769903999123 ");
	seen[0] = '\0';
	ck_assert(page(PAGE("<EncodingType>url</EncodingType>" LAST OBJECT("a%2Fb+c%2b", "1"))));
	ck_assert_str_eq(seen, "a/b c+=1@1769903999123 ");
	ck_assert(!page(PAGE("<EncodingType>url</EncodingType>" LAST OBJECT("a%2", "1"))));
	ck_assert(!page(PAGE("<EncodingType>url</EncodingType>" LAST OBJECT("a%00", "1"))));
}
END_TEST

START_TEST(s3_xml_nothing_of_a_page_is_told_if_a_part_of_it_is_wrong)
{
	static const char *const wrong[] = {
		PAGE(LAST OBJECT("a", "1") OBJECT("b", "-1")),
		PAGE(LAST OBJECT("a", "1") OBJECT("b", "")),
		PAGE(LAST OBJECT("a", "1") OBJECT("b", "1x")),
		PAGE(LAST OBJECT("a", "1") OBJECT("b", "18446744073709551616")),
		PAGE(LAST OBJECT("a", "1") OBJECT("", "1")),
		PAGE(LAST OBJECT("a", "1") OBJECT("<Key>b</Key>", "1")),
		PAGE(LAST OBJECT("a", "1") "<Contents><Size>1</Size></Contents>"),
		PAGE(LAST OBJECT("a", "1") "<Contents>"),
		PAGE(LAST OBJECT("a", "1")) "<!-- more --><x/>",
		"<Error><Code>SlowDown</Code></Error>",
		"<html><body>Welcome</body></html>",
		"",
		"garbage",
	};

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		ck_assert_msg(!page(wrong[i]), "%s", wrong[i]);
		ck_assert_str_eq(seen, "");
	}
}
END_TEST

START_TEST(s3_xml_entities_are_not_read)
{
	static const char *const hostile[] = {
		/* a file of this host */
		"<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>"
		"<Error><Code>&e;</Code></Error>",
		/* one that grows */
		"<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">"
		"<!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\">]><Error><Code>&c;</Code></Error>",
		/* one that is not declared */
		"<Error><Code>&nothing;</Code></Error>",
	};

	for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
		lsvd_s3_xml_error(&r, hostile[i], strlen(hostile[i]));
		ck_assert_str_eq(r.code, "");
	}
}
END_TEST

START_TEST(s3_xml_doctype_does_not_hide_in_another_encoding)
{
	const char *text = "<?xml version=\"1.0\" encoding=\"UTF-16\"?><!DOCTYPE x []>"
			   "<Error><Code>A</Code></Error>";
	char wide[256];
	size_t n = 0;

	wide[n++] = (char)0xff;
	wide[n++] = (char)0xfe;
	for (const char *p = text; *p; p++) {
		wide[n++] = *p;
		wide[n++] = '\0';
	}
	lsvd_s3_xml_error(&r, wide, n);
	ck_assert_str_eq(r.code, "");
}
END_TEST

START_TEST(s3_xml_deep_nesting_is_no_page)
{
	size_t depth = 100000, len = 0;
	char *text = malloc(depth * 3 + 1);

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < depth; i++, len += 3)
		memcpy(text + len, "<a>", 3);
	text[len] = '\0';
	ck_assert(!page(text));
	free(text);
}
END_TEST

START_TEST(s3_xml_error_is_code_and_message_fit_for_people)
{
	const char *text = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code>"
			   "<Message>go\n away \xc3\xa4</Message><Resource>/x</Resource></Error>";

	lsvd_s3_xml_error(&r, text, strlen(text));
	ck_assert_str_eq(r.code, "SlowDown");
	ck_assert_str_eq(r.message, "go? away ??");
}
END_TEST

START_TEST(s3_xml_error_that_is_too_long_is_cut)
{
	char text[4096], code[2000];

	memset(code, 'c', sizeof code);
	code[sizeof code - 1] = '\0';
	(void)snprintf(text, sizeof text, "<Error><Code>%s</Code></Error>", code);
	lsvd_s3_xml_error(&r, text, strlen(text));
	ck_assert_uint_eq(strlen(r.code), sizeof r.code - 1);
}
END_TEST

START_TEST(s3_xml_deletion_names_what_is_still_there)
{
	ck_assert(deleted("<DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
			  "<Deleted><Key>a</Key></Deleted>"
			  "<Error><Key>b</Key><Code>AccessDenied</Code>"
			  "<Message>no</Message></Error>"
			  "<Error><Code>InternalError</Code></Error></DeleteResult>"));
	ck_assert_str_eq(seen, "b:AccessDenied :InternalError ");
	ck_assert(deleted("<DeleteResult/>"));
	ck_assert(!deleted("<Error><Code>MalformedXML</Code></Error>"));
	ck_assert(!deleted(""));
}
END_TEST

START_TEST(s3_xml_list_of_keys_to_delete_is_escaped)
{
	const char *const keys[] = { "a/b", "x&y<z>" };
	size_t len;
	char *text = lsvd_s3_xml_delete(keys, 2, &len);

	ck_assert_ptr_nonnull(text);
	ck_assert_uint_eq(len, strlen(text));
	ck_assert_str_eq(text, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
			       "<Quiet>true</Quiet><Object><Key>a/b</Key></Object>"
			       "<Object><Key>x&amp;y&lt;z&gt;</Key></Object></Delete>");
	lsvd_free(text);
}
END_TEST

/* Whatever comes, it is refused or told; the sanitizers watch. */
START_TEST(s3_xml_documents_with_damage_are_survived)
{
	const char *whole = PAGE("<IsTruncated>true</IsTruncated><EncodingType>url</EncodingType>"
				 OBJECT("a%2Fb", "5") OBJECT("c", "6")
				 "<NextContinuationToken>t</NextContinuationToken>");
	size_t len = strlen(whole);
	uint64_t state = t_seed();
	char *text = malloc(len + 1);

	ck_assert_ptr_nonnull(text);
	r.listed = note;
	r.not_deleted = note_undeleted;
	for (unsigned i = 0; i < 3000; i++) {
		size_t cut = t_random_below(&state, len + 1);

		memcpy(text, whole, len + 1);
		for (unsigned k = 0; k < 1 + i % 3; k++)
			text[t_random_below(&state, len)] = (char)t_random(&state);
		seen[0] = '\0';
		(void)lsvd_s3_xml_page(&r, text, i % 2 ? len : cut);
		lsvd_s3_xml_error(&r, text, cut);
		(void)lsvd_s3_xml_deleted(&r, text, cut);
	}
	free(text);
}
END_TEST

static Suite *s3_xml_suite(void)
{
	Suite *s = suite_create("s3 xml");
	TCase *t = tcase_create("pages");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, s3_xml_page_is_told_object_by_object);
	tcase_add_test(t, s3_xml_page_that_is_not_the_last_says_where_it_goes_on);
	tcase_add_test(t, s3_xml_keys_are_unescaped_if_the_page_says_that_they_are_escaped);
	tcase_add_test(t, s3_xml_nothing_of_a_page_is_told_if_a_part_of_it_is_wrong);
	suite_add_tcase(s, t);
	t = tcase_create("errors and deletions");
	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, s3_xml_error_is_code_and_message_fit_for_people);
	tcase_add_test(t, s3_xml_error_that_is_too_long_is_cut);
	tcase_add_test(t, s3_xml_deletion_names_what_is_still_there);
	tcase_add_test(t, s3_xml_list_of_keys_to_delete_is_escaped);
	suite_add_tcase(s, t);
	t = tcase_create("hostile");
	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, s3_xml_entities_are_not_read);
	tcase_add_test(t, s3_xml_doctype_does_not_hide_in_another_encoding);
	tcase_add_test(t, s3_xml_deep_nesting_is_no_page);
	tcase_add_test(t, s3_xml_documents_with_damage_are_survived);
	suite_add_tcase(s, t);
	return s;
}

T_MAIN(s3_xml_suite)
