/*
 * Runs one program and prints what it cost, its children included: begun and ended (nanoseconds of CLOCK_MONOTONIC),
 * user and system time in microseconds, the largest resident set of any of its processes in KiB, wait status.
 *
 *   clock PROGRAM [ARGUMENT…]
 *
 * Small, because Linux counts what the forking process had resident as the child's, too.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static long long microseconds(struct timeval time) { return time.tv_sec * 1000000LL + time.tv_usec; }

int main(int count, char **words)
{
    if (count < 2)
        return 64;
    int status = -1;
    struct rusage used = { 0 };
    long long begun = now();
    pid_t child = vfork();
    if (child == 0) {
        execv(words[1], words + 1);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &used) != child)
        return 1;
    printf("%lld %lld %lld %ld %d\n", begun, now(), microseconds(used.ru_utime) + microseconds(used.ru_stime),
           used.ru_maxrss, status);
    return 0;
}
