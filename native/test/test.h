/* A harness of one page: checks that count, say where they failed, and go on. */
#ifndef NF4J_TEST_H
#define NF4J_TEST_H

#include <stdio.h>
#include <string.h>

static int test_checks;
static int test_failures;

/* Counts a check; when it failed, prints the place and a sentence. */
#define CHECK(condition, ...)                                                 \
    do {                                                                      \
        test_checks++;                                                        \
        if (!(condition)) {                                                   \
            test_failures++;                                                  \
            fprintf(stderr, "%s:%d: %s\n  ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, __VA_ARGS__);                                     \
            fprintf(stderr, "\n");                                            \
        }                                                                     \
    } while (0)

#define CHECK_OK(call)                                                                         \
    do {                                                                                       \
        const int32_t status_ = (call);                                                        \
        CHECK(status_ == NF4J_OK, "%s gave status %d: %s", #call, status_, nf4j_last_error()); \
    } while (0)

/* The call fails with this status and exactly this text. */
#define CHECK_FAILS(expected_status, expected_text, call)                                                   \
    do {                                                                                                    \
        const int32_t status_ = (call);                                                                     \
        CHECK(status_ == (expected_status), "%s gave status %d", #call, status_);                           \
        CHECK(strcmp(nf4j_last_error(), expected_text) == 0, "expected: %s\n  actual:   %s", expected_text, \
              nf4j_last_error());                                                                           \
    } while (0)

#define CHECK_REFUSED(expected_text, call) CHECK_FAILS(NF4J_INVALID_ARGUMENT, expected_text, call)

/* The exit status of main: 0 when something was checked and nothing failed. */
static int test_result(const char *name) {
    printf("%s: %d checks, %d failed\n", name, test_checks, test_failures);
    return test_checks == 0 || test_failures > 0;
}

#endif
