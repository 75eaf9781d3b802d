/*
 * As clock_fails_once.c, in every thread but the first: a panic in the thread that connects while the user types.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now)
{
    Dl_info caller;

    if (syscall(SYS_gettid) != getpid() && dladdr(__builtin_return_address(0), &caller) && strstr(caller.dli_fname, "pam_ivalt")) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_clock_gettime, clock, now);
}
