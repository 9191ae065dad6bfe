/* The blocks that were sampled and are not free yet. Guarded by the GIL.

   A free is asked about for every block there is, so the filter answers first: where its byte is 0,
   which is nearly everywhere, no block of that group is here. */

#include "watch.h"

#define MOST_LIVE (1u << 20)

uint8_t live_filter[65536];

static Live *blocks;
static size_t room, used; /* at most half full: no search is long */

static size_t home(uintptr_t address)
{
    return (size_t)((uint64_t)address * 0x9E3779B97F4A7C15u >> 32);
}

/* The entry of an address, or the free one where it belongs. */
static size_t find(uintptr_t address)
{
    for (size_t at = home(address);; at++) {
        size_t i = at & (room - 1);
        if (blocks[i].address == address || blocks[i].address == 0)
            return i;
    }
}

static int grow(void)
{
    size_t before = room;
    Live *old = blocks, *fresh = calloc(before ? before * 2 : 1024, sizeof *fresh);
    if (fresh == NULL)
        return -1;
    blocks = fresh;
    room = before ? before * 2 : 1024;
    for (size_t i = 0; i < before; i++)
        if (old[i].address)
            blocks[find(old[i].address)] = old[i];
    free(old);
    return 0;
}

int live_add(Live block, Live *was)
{
    was->address = 0;
    if (used >= MOST_LIVE || (used * 2 >= room && grow() < 0))
        return -1;
    size_t i = find(block.address);
    if (blocks[i].address) {
        *was = blocks[i];
        blocks[i] = block;
        return 0;
    }
    blocks[i] = block;
    used++;
    uint8_t *count = &live_filter[live_group(block.address)];
    *count += *count < 255; /* one that was 255 stays so: it may stand for more */
    return 0;
}

int live_remove(uintptr_t address, Live *was)
{
    if (used == 0)
        return 0;
    size_t gap = find(address);
    if (blocks[gap].address == 0)
        return 0;
    *was = blocks[gap];
    /* Close the gap: what stands behind it and may stand in it moves there. */
    for (size_t i = (gap + 1) & (room - 1); blocks[i].address; i = (i + 1) & (room - 1)) {
        size_t wanted = home(blocks[i].address) & (room - 1);
        if (((i - wanted) & (room - 1)) >= ((i - gap) & (room - 1))) {
            blocks[gap] = blocks[i];
            gap = i;
        }
    }
    blocks[gap].address = 0;
    used--;
    uint8_t *count = &live_filter[live_group(address)];
    *count -= *count < 255;
    return 1;
}

size_t live_count(void)
{
    return used;
}

void live_clear(void)
{
    free(blocks);
    blocks = NULL;
    room = used = 0;
    memset(live_filter, 0, sizeof live_filter);
}
