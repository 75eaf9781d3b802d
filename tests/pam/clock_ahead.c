/*
 * Preloaded into an application, gives the module alone other clocks: the one that counts from the boot is $BOOT_AHEAD
 * seconds ahead of the system's (or as many as the file of this path holds), that of the wall $WALL_AHEAD. The reading
 * that is number $CLOCK_FAILS fails; Rust's standard library panics on it. Where the module sleeps for two seconds or
 * longer, nobody waits, and all of its clocks go on by that time; $SLEEPS notes each such sleep in whole seconds.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long long slept_ns;

static int is_module(void *address)
{
    Dl_info caller;

    return dladdr(address, &caller) && strstr(caller.dli_fname, "pam_ivalt") != NULL;
}

static long long seconds(const char *variable)
{
    const char *value = getenv(variable);
    char text[32] = "";
    int file;

    if (!value || *value != '/')
        return value ? atoll(value) : 0;
    file = open(value, O_RDONLY | O_CLOEXEC);
    if (file < 0 || read(file, text, sizeof text - 1) < 0)
        text[0] = 0;
    if (file >= 0)
        close(file);
    return atoll(text);
}

static void add(struct timespec *time, long long ns)
{
    long long sum = time->tv_sec * 1000000000LL + time->tv_nsec + ns;

    time->tv_sec = sum / 1000000000LL;
    time->tv_nsec = sum % 1000000000LL;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static long long readings;
    int result = (int)syscall(SYS_clock_gettime, clock, now);

    if (result || !is_module(__builtin_return_address(0)))
        return result;
    if (++readings == seconds("CLOCK_FAILS")) {
        errno = EINVAL;
        return -1;
    }
    add(now, slept_ns);
    if (clock == CLOCK_BOOTTIME)
        add(now, seconds("BOOT_AHEAD") * 1000000000LL);
    if (clock == CLOCK_REALTIME)
        add(now, seconds("WALL_AHEAD") * 1000000000LL);
    return 0;
}

static int skips(const struct timespec *request, void *address)
{
    const char *file = getenv("SLEEPS");
    char line[32];
    int notes;

    if (request->tv_sec < 2 || !is_module(address))
        return 0;
    slept_ns += request->tv_sec * 1000000000LL + request->tv_nsec;
    if (!file)
        return 1;
    notes = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    snprintf(line, sizeof line, "%lld\n", (long long)request->tv_sec + (request->tv_nsec >= 500000000));
    if (notes < 0 || write(notes, line, strlen(line)) < 0)
        abort();
    close(notes);
    return 1;
}

int nanosleep(const struct timespec *request, struct timespec *rest)
{
    if (skips(request, __builtin_return_address(0)))
        return 0;
    return (int)syscall(SYS_nanosleep, request, rest);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *request, struct timespec *rest)
{
    struct timespec left = *request, now;

    if (flags & TIMER_ABSTIME) {
        syscall(SYS_clock_gettime, clock, &now);
        add(&left, -(now.tv_sec * 1000000000LL + now.tv_nsec + (is_module(__builtin_return_address(0)) ? slept_ns : 0)));
    }
    if (left.tv_sec < 0)
        return 0;
    if (skips(&left, __builtin_return_address(0)))
        return 0;
    return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &left, rest) ? errno : 0;
}
