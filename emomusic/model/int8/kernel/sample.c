/* Sampling, in double precision: the likeliest ids that together hold top_p of the probability. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"

typedef struct {
    double weight;
    int id;
} candidate;

size_t em_draw_room(int n) { return 2 * (size_t)n * sizeof(candidate); }

/* Sort by falling weight; equal weights stay in the order of their ids. */
static candidate *sort(candidate *from, candidate *to, int n) {
    for (int start = 0; start < n; start += 8) { /* by insertion in eights, then merge */
        int end = start + 8 < n ? start + 8 : n;
        for (int i = start + 1; i < end; i++) {
            candidate x = from[i];
            int j = i;
            for (; j > start && from[j - 1].weight < x.weight; j--) from[j] = from[j - 1];
            from[j] = x;
        }
    }
    for (int width = 8; width < n; width *= 2) {
        for (int start = 0; start < n; start += 2 * width) {
            int middle = start + width < n ? start + width : n;
            int end = start + 2 * width < n ? start + 2 * width : n;
            int i = start, j = middle;
            for (int k = start; k < end; k++) {
                int left = i < middle && (j >= end || from[i].weight >= from[j].weight);
                to[k] = left ? from[i++] : from[j++];
            }
        }
        candidate *other = from;
        from = to;
        to = other;
    }
    return from;
}

int em_draw(const float *logits, const uint8_t *allowed, int n, double temperature, double top_p,
            double uniform, void *room) {
    candidate *found = room;
    int count = 0;
    double most = -INFINITY;
    for (int i = 0; i < n; i++) {
        if (!allowed[i]) continue;
        double x = isfinite(logits[i]) ? (double)logits[i] : logits[i] > 0 ? 1e30 : -1e30;
        found[count++] = (candidate){x, i};
        if (x > most) most = x;
    }
    if (!count) return -1;
    double total = 0.0, kept = 0.0;
    for (int i = 0; i < count; i++) {
        found[i].weight = exp((found[i].weight - most) / temperature);
        total += found[i].weight;
    }
    /* All that are so unlikely hold less than 1 - top_p together: they need not be sorted. */
    double unlikely = (1.0 - top_p) * total / count;
    int likely = 0;
    for (int i = 0; i < count; i++)
        if (found[i].weight >= unlikely) found[likely++] = found[i];
    count = likely;
    found = sort(found, (candidate *)room + n, count);
    int last = 0;
    for (; last < count; last++) {
        if (!(kept < top_p * total)) break;
        kept += found[last].weight;
    }
    double until = uniform * kept, sum = 0.0;
    for (int i = 0; i < last - 1; i++) {
        sum += found[i].weight;
        if (until < sum) return found[i].id;
    }
    return found[last > 0 ? last - 1 : 0].id;
}

int em_sample(const float *logits, const uint8_t *allowed, int n, double temperature,
              double top_p, double uniform) {
    void *room = malloc(em_draw_room(n));
    if (!room) return EM_NO_MEMORY;
    int id = em_draw(logits, allowed, n, temperature, top_p, uniform, room);
    free(room);
    return id < 0 ? EM_BAD_ARGUMENT : id;
}
