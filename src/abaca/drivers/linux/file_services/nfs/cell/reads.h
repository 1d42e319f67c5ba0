/* How much one request may read: see connections.c. */
#pragma once

#include <stdint.h>

#pragma GCC visibility push(hidden)

/* Of the request that the calling thread works on, which reads so many bytes more. */
int reads_too_much(uint64_t length);

#pragma GCC visibility pop
