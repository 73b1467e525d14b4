#ifndef HARNESS_KPI_MBUF_H
#define HARNESS_KPI_MBUF_H

#include <stddef.h>
#include <sys/kernel_types.h>

extern "C" {
void *mbuf_data(mbuf_t mbuf);
size_t mbuf_len(mbuf_t mbuf);
mbuf_t mbuf_next(mbuf_t mbuf);
void mbuf_freem(mbuf_t mbuf);
}

#endif
