/*
 * The smallest application of PAM: one login, without a user, on a stack of its own.
 *
 *   login CONFDIR SERVICE USER TOKEN THINK_MS
 *
 * A negative THINK_MS: at the prompt, or without one at the end, prints its process ID and waits for the end of its
 * standard input.
 *
 * Prints when pam_authenticate was called, when the prompt appeared, when it was answered and when the result was
 * there (nanoseconds of CLOCK_MONOTONIC, 0 for what did not happen), and the PAM code. In C, as real applications are:
 * a Rust program would bring libraries along that the module must be charged with. The declarations are those of
 * security/pam_appl.h, which a machine without libpam0g-dev lacks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct pam_message {
    int style;
    const char *text;
};
struct pam_response {
    char *text;
    int code;
};
struct pam_conv {
    int (*converse)(int, const struct pam_message **, struct pam_response **, void *);
    void *data;
};
struct pam_handle;
int pam_start_confdir(const char *, const char *, const struct pam_conv *, const char *, struct pam_handle **);
int pam_authenticate(struct pam_handle *, int);
int pam_end(struct pam_handle *, int);

enum { PAM_PROMPT_ECHO_OFF = 1, PAM_PROMPT_ECHO_ON = 2, PAM_CONV_ERR = 19 };

struct user {
    const char *token;
    long think_ms;
    long long prompted, answered;
};

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void wait_for_release(void)
{
    char byte;
    dprintf(1, "%d\n", getpid());
    while (read(0, &byte, 1) > 0)
        ;
}

static void think(long ms)
{
    if (ms < 0) {
        wait_for_release();
        return;
    }
    struct timespec time = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep(&time, NULL);
}

static char *answer(struct user *user)
{
    if (!user->prompted)
        user->prompted = now();
    if (user->think_ms)
        think(user->think_ms);
    user->answered = now();
    return strdup(user->token);
}

static int converse(int count, const struct pam_message **messages, struct pam_response **replies, void *data)
{
    struct pam_response *all = calloc(count, sizeof *all);
    if (!all)
        return PAM_CONV_ERR;
    for (int i = 0; i < count; i++)
        if (messages[i]->style == PAM_PROMPT_ECHO_OFF || messages[i]->style == PAM_PROMPT_ECHO_ON)
            all[i].text = answer(data);
    *replies = all;
    return 0;
}

int main(int count, char **words)
{
    if (count != 6) {
        fputs("usage: login CONFDIR SERVICE USER TOKEN THINK_MS\n", stderr);
        return 64;
    }
    struct user user = { words[4], atol(words[5]), 0, 0 };
    struct pam_conv conversation = { converse, &user };
    struct pam_handle *handle;
    if (pam_start_confdir(words[2], words[3], &conversation, words[1], &handle) != 0)
        return 1;
    long long begun = now();
    int code = pam_authenticate(handle, 0);
    long long ended = now();
    if (user.think_ms < 0 && !user.prompted)
        wait_for_release();
    pam_end(handle, code);
    printf("%lld %lld %lld %lld %d\n", begun, user.prompted, user.answered, ended, code);
    return 0;
}
