/* @NAME@: a query compiled by qtensor @VERSION@.
 *
@SQL@
 *
 * Rows come in batches and the result leaves as one, as structures of Arrow's C Data Interface
 * (https://arrow.apache.org/docs/format/CDataInterface.html).
 *
 *     struct @NAME@_state* state = @NAME@_open(0);
 *     while (next_batch(&schema, &array))
 *       if (@NAME@_step(state, &schema, &array)) fail(@NAME@_error(state));
 *     if (@NAME@_finish(state, &schema, &array)) fail(@NAME@_error(state));
 *     @NAME@_close(state);
 *
 * Different states may be used by different threads at the same time; one state by one thread at a time.
 */
#ifndef @GUARD@
#define @GUARD@

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
  const char* format;
  const char* name;
  const char* metadata;
  int64_t flags;
  int64_t n_children;
  struct ArrowSchema** children;
  struct ArrowSchema* dictionary;
  void (*release)(struct ArrowSchema*);
  void* private_data;
};

struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void** buffers;
  struct ArrowArray** children;
  struct ArrowArray* dictionary;
  void (*release)(struct ArrowArray*);
  void* private_data;
};

#endif /* ARROW_C_DATA_INTERFACE */

/* Keep the rows, encoded, after @NAME@_finish: it may be called again, and after further steps. */
#define @PREFIX@_RETAIN 1u

struct @NAME@_state;

/* A new computation; NULL without memory. flags: 0, or @PREFIX@_RETAIN. */
struct @NAME@_state* @NAME@_open(uint32_t flags);

/* Add a batch: a struct array whose fields are columns, found by name. Both structures are released by this call. 0, or an error. */
int @NAME@_step(struct @NAME@_state* state, struct ArrowSchema* schema, struct ArrowArray* array);

/* Add all batches of an Arrow IPC file or stream. 0, or an error. */
int @NAME@_step_file(struct @NAME@_state* state, const char* path);

/* Add all that `from` has seen, its rows coming after those of `into`; `from` is to be closed then. 0, or an error. */
int @NAME@_merge(struct @NAME@_state* into, struct @NAME@_state* from);

/* The result: a struct array of its columns, to be released by the caller. 0, or an error. */
int @NAME@_finish(struct @NAME@_state* state, struct ArrowSchema* schema, struct ArrowArray* array);

/* What the last error was, in words; valid until the next call with this state. */
const char* @NAME@_error(const struct @NAME@_state* state);

/* Release everything. NULL is allowed. */
void @NAME@_close(struct @NAME@_state* state);

#ifdef __cplusplus
}
#endif

#endif /* @GUARD@ */
