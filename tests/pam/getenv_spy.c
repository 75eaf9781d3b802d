/* Notes the name of every environment variable that is asked for in the file that $SPY names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *getenv(const char *name)
{
    char *(*real)(const char *) = (char *(*)(const char *))dlsym(RTLD_NEXT, "getenv");
    const char *file = real("SPY");
    int notes = file ? open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;

    if (notes >= 0) {
        if (write(notes, name, strlen(name)) < 0 || write(notes, "\n", 1) < 0)
            abort();
        close(notes);
    }
    return real(name);
}
