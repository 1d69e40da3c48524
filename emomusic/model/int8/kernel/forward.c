/* The layers, and the slots of an event after them: each thread computes its share of the outputs,
   the last one to arrive does what is done once for a row. */

#include <string.h>

#include "session.h"

static void share(int n, int thread, int n_threads, int *begin, int *end) {
    *begin = (int)((long)n * thread / n_threads);
    *end = (int)((long)n * (thread + 1) / n_threads);
}

/* The product of n_rows quantised rows, or what it adds to `out`. */
static void product(em_session *s, int thread, const em_matrix *m, int n_rows, float *out,
                    int stride, int add) {
    int begin, end;
    share(m->n_blocks, thread, s->n_active, &begin, &end);
    s->model->isa->matmul(m, &s->acts, n_rows, begin, end, out, stride, add);
}

static void gated(em_session *s, int thread, const em_matrix *gate, const em_matrix *up,
                  int n_rows) {
    int begin, end;
    share(gate->n_blocks, thread, s->n_active, &begin, &end);
    s->model->isa->gated(gate, up, &s->acts, n_rows, begin, end, s->hidden, gate->n_out);
}

static void quantise_rows(em_session *s, const float *x, const float *weight, int n, int n_rows) {
    for (int i = 0; i < n_rows; i++)
        s->model->isa->quantise(x + (size_t)i * (size_t)n, weight, n, &s->acts, i);
}

/* ---- layers ---- */

/* What is done once between the shares of a layer. */
typedef struct {
    em_session *s;
    int layer;
} place;

static void begin_layer(void *given) {
    place *p = given;
    const em_model *m = p->s->model;
    quantise_rows(p->s, p->s->x, m->layers[p->layer].attention_norm, m->shape.dim, p->s->n_tokens);
}

static void after_qkv(void *given) {
    place *p = given;
    const em_model *m = p->s->model;
    const em_heads *h = &m->heads;
    const float *gain = m->layers[p->layer].gain;
    int n_heads = m->shape.n_heads, n_kv = m->shape.n_kv_heads, half = h->head_dim / 2;
    int width = (n_heads + 2 * n_kv) * h->head_dim;
    for (int i = 0; i < p->s->n_tokens; i++) {
        const em_token *t = p->s->tokens + i;
        float *qkv = p->s->qkv + (size_t)i * (size_t)width;
        const float *cosine = m->cosine + (size_t)t->at * (size_t)half;
        const float *sine = m->sine + (size_t)t->at * (size_t)half;
        for (int head = 0; head < n_heads + n_kv; head++)
            m->isa->turn(qkv + head * h->head_dim, cosine, sine, half,
                         head < n_heads ? gain[head] : 1.0f);
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
    quantise_rows(p->s, p->s->y, NULL, p->s->model->shape.dim, p->s->n_tokens);
}

static void before_hidden(void *given) {
    place *p = given;
    const em_model *m = p->s->model;
    quantise_rows(p->s, p->s->x, m->layers[p->layer].hidden_norm, m->shape.dim, p->s->n_tokens);
}

static void after_hidden(void *given) {
    place *p = given;
    quantise_rows(p->s, p->s->hidden, NULL, p->s->model->shape.hidden, p->s->n_tokens);
}

static void layer(em_session *s, place *p, int thread) {
    const em_layer *l = s->model->layers + p->layer;
    product(s, thread, &l->qkv, s->n_tokens, s->qkv, l->qkv.n_out, 0);
    em_pool_meet(s->pool, after_qkv, p);
    attention(s, p->layer, thread);
    em_pool_meet(s->pool, after_attention, p);
    product(s, thread, &l->out, s->n_tokens, s->x, l->out.n_out, 1);
    em_pool_meet(s->pool, before_hidden, p);
    gated(s, thread, &l->gate, &l->up, s->n_tokens);
    em_pool_meet(s->pool, after_hidden, p);
    product(s, thread, &l->down, s->n_tokens, s->x, l->down.n_out, 1);
}

static void embed(void *given) {
    place *p = given;
    em_session *s = p->s;
    size_t dim = (size_t)s->model->shape.dim;
    for (int i = 0; i < s->n_tokens; i++) {
        const em_token *t = s->tokens + i;
        float *x = s->x + (size_t)i * dim;
        memcpy(x, s->model->embedding + (size_t)t->rows[0] * dim, dim * sizeof *x);
        for (int j = 1; j < t->n_rows; j++) {
            const float *row = s->model->embedding + (size_t)t->rows[j] * dim;
            for (size_t k = 0; k < dim; k++) x[k] += row[k];
        }
    }
    begin_layer(p);
}

static void after_layers(void *given) {
    place *p = given;
    em_session *s = p->s;
    int dim = s->model->shape.dim;
    for (int i = 0; i < s->n_tokens; i++)
        if (s->tokens[i].state)
            s->model->isa->normalise(s->x + (size_t)i * (size_t)dim, s->model->norm, dim,
                                     s->tokens[i].state);
}

void em_forward(em_session *s, int thread) {
    place p = {s, 0};
    em_pool_meet(s->pool, embed, &p);
    for (;;) {
        layer(s, &p, thread);
        if (++p.layer == s->model->shape.n_layers) break;
        em_pool_meet(s->pool, begin_layer, &p);
    }
    em_pool_meet(s->pool, after_layers, &p);
}

/* ---- slots ---- */

void em_begin_slot(em_session *s) {
    const em_model *m = s->model;
    size_t dim = (size_t)m->shape.dim;
    int first = s->slot < EM_CHORD_A ? EM_ADVANCE : EM_CHORD_A;
    for (int i = 0; i < s->n_asks; i++) {
        float *z = s->x + (size_t)i * dim;
        memcpy(z, s->asks[i].state, dim * sizeof *z);
        for (int slot = first; slot < s->slot; slot++) {
            const float *told = m->writers[slot].told + (size_t)s->asks[i].chosen[slot] * dim;
            for (size_t k = 0; k < dim; k++) z[k] += told[k];
        }
    }
    quantise_rows(s, s->x, m->writers[s->slot].norm, m->shape.dim, s->n_asks);
}

static void after_inner(void *given) {
    em_session *s = given;
    quantise_rows(s, s->hidden, NULL, s->model->shape.inner, s->n_asks);
}

static void before_head(void *given) {
    em_session *s = given;
    const em_model *m = s->model;
    quantise_rows(s, s->x, m->writers[s->slot].head_norm, m->shape.dim, s->n_asks);
}

void em_slot_logits(em_session *s, int thread) {
    const em_writer *w = s->model->writers + s->slot;
    gated(s, thread, &w->gate, &w->up, s->n_asks);
    em_pool_meet(s->pool, after_inner, s);
    product(s, thread, &w->down, s->n_asks, s->x, w->down.n_out, 1);
    em_pool_meet(s->pool, before_head, s);
    product(s, thread, &w->head, s->n_asks, s->logits, s->model->max_choices, 0);
}
