/* What the files of the library share: the call that a wrapper stands in front of. */
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <stdlib.h>

#define REAL(name) ({                                        \
    static void *found;                                      \
    if (!found && !(found = dlsym(RTLD_NEXT, #name)))        \
        abort();                                             \
    (typeof(&name))found; })
