/* The layers: each thread computes its share of the outputs, the last one to arrive does what is
   done once for a row. */

#include <string.h>

#include "session.h"

static void share(int n, int thread, int n_threads, int *begin, int *end) {
    *begin = (int)((long)n * thread / n_threads);
    *end = (int)((long)n * (thread + 1) / n_threads);
}

static void product(em_session *s, int thread, const em_matrix *m, int n_rows, float *out, int add) {
    int begin, end;
    share(m->n_blocks, thread, s->n_active, &begin, &end);
    s->model->isa->matmul(m, &s->acts, n_rows, begin, end, out, m->n_out, add);
}

static void quantise_rows(em_session *s, const float *x, const float *weight, int n) {
    for (int i = 0; i < s->n_tokens; i++)
        s->model->isa->quantise(x + (size_t)i * (size_t)n, weight, n, &s->acts, i);
}

/* What is done once between the shares of a layer. */
typedef struct {
    em_session *s;
    int layer;
} place;

static void begin_layer(void *given) {
    place *p = given;
    const em_model *m = p->s->model;
    quantise_rows(p->s, p->s->x, m->layers[p->layer].attention_norm, m->shape.dim);
}

static void after_qkv(void *given) {
    place *p = given;
    const em_model *m = p->s->model;
    const em_heads *h = &m->heads;
    int n_heads = m->shape.n_heads, n_kv = m->shape.n_kv_heads, half = h->head_dim / 2;
    int width = (n_heads + 2 * n_kv) * h->head_dim;
    for (int i = 0; i < p->s->n_tokens; i++) {
        const em_token *t = p->s->tokens + i;
        float *qkv = p->s->qkv + (size_t)i * (size_t)width;
        const float *cosine = m->cosine + (size_t)t->at * (size_t)half;
        const float *sine = m->sine + (size_t)t->at * (size_t)half;
        for (int head = 0; head < n_heads + n_kv; head++)
            m->isa->rotate(qkv + head * h->head_dim, cosine, sine, half);
        for (int j = 0; j < n_kv; j++)
            m->isa->store(h, t->stream->cache + p->layer * n_kv + j, t->at,
                          qkv + (n_heads + j) * h->head_dim,
                          qkv + (n_heads + n_kv + j) * h->head_dim);
    }
}

static void attention(em_session *s, int layer, int thread) {
    const em_model *m = s->model;
    const em_heads *h = &m->heads;
    int n_kv = m->shape.n_kv_heads, part = h->group * h->head_dim;
    int width = (m->shape.n_heads + 2 * n_kv) * h->head_dim;
    for (int i = thread; i < s->n_tokens * n_kv; i += s->n_active) {
        const em_token *t = s->tokens + i / n_kv;
        size_t row = (size_t)(i / n_kv), head = (size_t)(i % n_kv) * (size_t)part;
        m->isa->attend(h, t->stream->cache + layer * n_kv + i % n_kv, t->at + 1,
                       s->qkv + row * (size_t)width + head, s->scratch + thread,
                       s->y + row * (size_t)m->shape.dim + head);
    }
}

static void after_attention(void *given) {
    place *p = given;
    quantise_rows(p->s, p->s->y, NULL, p->s->model->shape.dim);
}

static void before_hidden(void *given) {
    place *p = given;
    const em_model *m = p->s->model;
    quantise_rows(p->s, p->s->x, m->layers[p->layer].hidden_norm, m->shape.dim);
}

static void after_hidden(void *given) {
    place *p = given;
    quantise_rows(p->s, p->s->hidden, NULL, p->s->model->shape.hidden);
}

static void before_head(void *given) {
    place *p = given;
    em_session *s = p->s;
    int dim = s->model->shape.dim;
    for (int i = 0; i < s->n_wants; i++)
        s->model->isa->quantise(s->x + (size_t)s->wants[i] * (size_t)dim, s->model->norm, dim,
                                &s->acts, i);
}

static void layer(em_session *s, place *p, int thread) {
    const em_layer *l = s->model->layers + p->layer;
    int begin, end;
    product(s, thread, &l->qkv, s->n_tokens, s->qkv, 0);
    em_pool_meet(s->pool, after_qkv, p);
    attention(s, p->layer, thread);
    em_pool_meet(s->pool, after_attention, p);
    product(s, thread, &l->out, s->n_tokens, s->x, 1);
    em_pool_meet(s->pool, before_hidden, p);
    share(l->gate.n_blocks, thread, s->n_active, &begin, &end);
    s->model->isa->gated(&l->gate, &l->up, &s->acts, s->n_tokens, begin, end, s->hidden,
                         s->model->shape.hidden);
    em_pool_meet(s->pool, after_hidden, p);
    product(s, thread, &l->down, s->n_tokens, s->x, 1);
}

static void embed(void *given) {
    place *p = given;
    em_session *s = p->s;
    size_t dim = (size_t)s->model->shape.dim;
    for (int i = 0; i < s->n_tokens; i++)
        memcpy(s->x + (size_t)i * dim, s->model->embedding + (size_t)s->tokens[i].id * dim,
               dim * sizeof(float));
    begin_layer(p);
}

void em_forward(em_session *s, int thread) {
    place p = {s, 0};
    em_pool_meet(s->pool, embed, &p);
    for (;;) {
        layer(s, &p, thread);
        if (++p.layer == s->model->shape.n_layers) break;
        em_pool_meet(s->pool, begin_layer, &p);
    }
    em_pool_meet(s->pool, before_head, &p);
    product(s, thread, &s->model->head, s->n_wants, s->logits, 0);
}
