/*
 * Preloaded into an application, makes the first clock reading that the module asks for fail: Rust's standard library
 * panics on it. So a panic can be had inside the module as it is shipped, with nothing in its code for the test's sake.
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
    static int failed;
    Dl_info caller;

    if (!failed && dladdr(__builtin_return_address(0), &caller) && strstr(caller.dli_fname, "pam_ivalt.so")) {
        failed = 1;
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_clock_gettime, clock, now);
}
