/* Threads that walk through a step together. */

#ifndef EM_POOL_H
#define EM_POOL_H

typedef struct em_pool em_pool;

/* Start n_threads - 1 threads, which sleep; null if that cannot be done. */
em_pool *em_pool_new(int n_threads);
void em_pool_free(em_pool *pool);

/* Call work(context, thread) on the first n_threads of the pool, the caller's being number 0. */
void em_pool_go(em_pool *pool, int n_threads, void (*work)(void *context, int thread),
                void *context);

/* Wait for all threads at work; the last to arrive first calls last(context), unless it is null. */
void em_pool_meet(em_pool *pool, void (*last)(void *context), void *context);

#endif
