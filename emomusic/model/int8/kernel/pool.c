/* Threads that walk through a step together: they wait by spinning, because the wait is shorter
   than waking up, but soon give their core away, in case another needs it to come here at all. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "pool.h"

#include <stdlib.h>

#if defined(_WIN32) || defined(__STDC_NO_ATOMICS__)

struct em_pool {
    int nothing;
};

em_pool *em_pool_new(int n_threads) { return n_threads == 1 ? calloc(1, sizeof(em_pool)) : NULL; }
void em_pool_free(em_pool *pool) { free(pool); }
void em_pool_go(em_pool *pool, int n_threads, void (*work)(void *, int), void *context) {
    (void)pool, (void)n_threads;
    work(context, 0);
}
void em_pool_meet(em_pool *pool, void (*last)(void *), void *context) {
    (void)pool;
    if (last) last(context);
}

#else

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define SPINS 2000

typedef struct {
    em_pool *pool;
    pthread_t thread;
    int number;
} helper;

struct em_pool {
    int n_active;    /* threads at work in this call */
    helper *helpers; /* [n_threads], number 0 unused */
    int n_started;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    unsigned call; /* counts calls of em_pool_go; under the lock */
    int ending;
    void (*work)(void *, int);
    void *context;
    _Alignas(64) atomic_int waiting;
    _Alignas(64) atomic_uint round;
};

static void rest(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

void em_pool_meet(em_pool *pool, void (*last)(void *), void *context) {
    const int n = pool->n_active; /* read now: once all have arrived, it may be set anew */
    if (n == 1) {
        if (last) last(context);
        return;
    }
    unsigned round = atomic_load_explicit(&pool->round, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&pool->waiting, 1, memory_order_acq_rel) == n - 1) {
        if (last) last(context);
        atomic_store_explicit(&pool->waiting, 0, memory_order_relaxed);
        atomic_store_explicit(&pool->round, round + 1, memory_order_release);
        return;
    }
    for (int spins = 0;; spins++) {
        if (atomic_load_explicit(&pool->round, memory_order_acquire) != round) return;
        if (spins < SPINS)
            rest();
        else
            sched_yield();
    }
}

static void *serve(void *given) {
    helper *self = given;
    em_pool *pool = self->pool;
    unsigned seen = 0;
    for (;;) {
        pthread_mutex_lock(&pool->lock);
        while (pool->call == seen && !pool->ending) pthread_cond_wait(&pool->wake, &pool->lock);
        int ending = pool->ending, called = self->number < pool->n_active;
        seen = pool->call;
        pthread_mutex_unlock(&pool->lock);
        if (ending) return NULL;
        if (!called) continue;
        pool->work(pool->context, self->number);
        em_pool_meet(pool, NULL, NULL);
    }
}

em_pool *em_pool_new(int n_threads) {
    em_pool *pool = NULL;
    if (posix_memalign((void **)&pool, 64, sizeof *pool)) return NULL;
    *pool = (em_pool){.n_active = 1};
    atomic_init(&pool->waiting, 0);
    atomic_init(&pool->round, 0);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->helpers = calloc((size_t)n_threads, sizeof *pool->helpers);
    for (int i = 1; pool->helpers && i < n_threads; i++) {
        pool->helpers[i] = (helper){.pool = pool, .number = i};
        if (pthread_create(&pool->helpers[i].thread, NULL, serve, pool->helpers + i)) break;
        pool->n_started++;
    }
    if (pool->n_started == n_threads - 1 && pool->helpers) return pool;
    em_pool_free(pool);
    return NULL;
}

void em_pool_free(em_pool *pool) {
    if (!pool) return;
    pthread_mutex_lock(&pool->lock);
    pool->ending = 1;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 1; i <= pool->n_started; i++) pthread_join(pool->helpers[i].thread, NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool->helpers);
    free(pool);
}

void em_pool_go(em_pool *pool, int n_threads, void (*work)(void *, int), void *context) {
    pthread_mutex_lock(&pool->lock);
    pool->n_active = n_threads;
    if (n_threads > 1) {
        pool->work = work;
        pool->context = context;
        pool->call++;
        pthread_cond_broadcast(&pool->wake);
    }
    pthread_mutex_unlock(&pool->lock);
    work(context, 0);
    em_pool_meet(pool, NULL, NULL);
}

#endif
