/* A name service that takes other spellings and returns its own, and one that fails. */
#include <errno.h>
#include <pwd.h>
#include <string.h>

int getpwnam_r(const char *name, struct passwd *entry, char *buffer, size_t size, struct passwd **found)
{
    static const char own[] = "CORP\\Alice", another[] = "somebody";

    *found = NULL;
    if (strcmp(name, "broken") == 0)
        return EIO;
    if (strcmp(name, "endless") == 0)
        return ERANGE;
    if (strcmp(name, "forgotten") == 0)
        return ENOENT;
    if (strcmp(name, "al") != 0 && strcmp(name, "ALICE") != 0)
        return 0;
    /* Not at the first call. */
    if (size < 100000)
        return ERANGE;
    memset(entry, 0, sizeof *entry);
    entry->pw_name = strcpy(buffer, name[0] == 'a' ? own : another);
    *found = entry;
    return 0;
}
