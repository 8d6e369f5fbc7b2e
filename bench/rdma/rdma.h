/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rdma.h - the subcommands of apn-rdma. Each returns an exit code: 0, 1 = failed, 2 = wrong words. */
#ifndef BENCH_RDMA_RDMA_H
#define BENCH_RDMA_RDMA_H

int rdma_plan(int argc, char **argv);
int rdma_send(int argc, char **argv);
int rdma_receive(int argc, char **argv);

#endif
