/* The PAM module that libpam loads: it hands the call back to the program that loaded libpam. */
int (*fuzzed_module)(void *handle, int flags, int argc, const char **argv);

int pam_sm_authenticate(void *handle, int flags, int argc, const char **argv) {
    return fuzzed_module(handle, flags, argc, argv);
}

int pam_sm_setcred(void *handle, int flags, int argc, const char **argv) {
    (void)handle, (void)flags, (void)argc, (void)argv;
    return 0;
}
