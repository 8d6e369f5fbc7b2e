/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* region_table.c - payload of REGIONS messages: the names and sizes of guest RAM blocks; see
 * codec.h */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "wire/codec.h"

unsigned apn_region_table_encode(const struct apn_region *regions, unsigned count, unsigned first,
                                 uint8_t *out, size_t capacity, size_t *bytes)
{
    unsigned written = 0;
    size_t used = 0;

    for (unsigned i = first; i < count; i++, written++) {
        size_t name_bytes = strnlen(regions[i].name, APN_REGION_NAME_MAX);
        struct apn_wire_region entry = {
            .length = htole64(regions[i].length),
            .page_size = htole32(regions[i].page_size),
            .index = htole16((uint16_t)i),
            .name_bytes = htole16((uint16_t)name_bytes),
        };

        if (capacity - used < sizeof(entry) + name_bytes) {
            break;
        }
        memcpy(out + used, &entry, sizeof(entry));
        memcpy(out + used + sizeof(entry), regions[i].name, name_bytes);
        used += sizeof(entry) + name_bytes;
    }
    *bytes = used;
    return written;
}

/* Names end up in messages for people and in comparisons: no control bytes, no NUL. */
static int check_name(const uint8_t *name, size_t bytes, unsigned index, struct apn_error *err)
{
    if (bytes == 0 || bytes > APN_REGION_NAME_MAX) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION,
                             "region %u: name of %zu bytes, must be 1..%u", index, bytes,
                             APN_REGION_NAME_MAX);
    }
    for (size_t i = 0; i < bytes; i++) {
        if (name[i] < 0x20 || name[i] == 0x7f) {
            return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION,
                                 "region %u: name byte %zu is 0x%02x, must be printable", index, i,
                                 name[i]);
        }
    }
    return 0;
}

static int check_entry(const struct apn_wire_region *entry, unsigned capacity,
                       struct apn_error *err)
{
    unsigned index = le16toh(entry->index);
    uint64_t length = le64toh(entry->length);
    uint32_t page_size = le32toh(entry->page_size);

    if (index >= capacity) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION, "region %u: index must be below %u",
                             index, capacity);
    }
    if (page_size < APN_PAGE_SIZE || (page_size & (page_size - 1))) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION,
                             "region %u: page size %" PRIu32
                             ", must be a power of two, %u at least",
                             index, page_size, APN_PAGE_SIZE);
    }
    if (length == 0 || length % page_size) {
        return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION,
                             "region %u: length %" PRIu64
                             ", must be a multiple of its page size %" PRIu32 ", not 0",
                             index, length, page_size);
    }
    return 0;
}

int apn_region_table_decode(const uint8_t *payload, size_t bytes, struct apn_region *regions,
                            unsigned capacity, struct apn_error *err)
{
    int entries = 0;
    unsigned expected = 0;
    size_t used = 0;

    while (used < bytes) {
        struct apn_wire_region entry;
        struct apn_region *region;
        size_t name_bytes;
        int ret;

        if (bytes - used < sizeof(entry)) {
            return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION,
                                 "region table: entry %d has %zu bytes, needs %zu", entries,
                                 bytes - used, sizeof(entry));
        }
        memcpy(&entry, payload + used, sizeof(entry));
        used += sizeof(entry);
        name_bytes = le16toh(entry.name_bytes);
        if (name_bytes > bytes - used) {
            return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION,
                                 "region table: entry %d has a name of %zu bytes, %zu are left",
                                 entries, name_bytes, bytes - used);
        }
        ret = check_entry(&entry, capacity, err);
        ret = ret ? ret : check_name(payload + used, name_bytes, le16toh(entry.index), err);
        if (ret) {
            return ret;
        }
        if (entries && le16toh(entry.index) != expected) {
            return apn_error_set(err, -EPROTO, APN_SCOPE_SESSION,
                                 "region table: entry %d has index %u, must be %u (consecutive)",
                                 entries, le16toh(entry.index), expected);
        }
        expected = le16toh(entry.index) + 1u;
        region = &regions[le16toh(entry.index)];
        *region = (struct apn_region){.length = le64toh(entry.length),
                                      .page_size = le32toh(entry.page_size)};
        memcpy(region->name, payload + used, name_bytes);
        used += name_bytes;
        entries++;
    }
    return entries;
}
