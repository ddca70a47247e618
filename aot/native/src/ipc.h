// Arrow's IPC format, as files and streams: enough of it to read record batches without compression.
#pragma once

#include <functional>

#include "arrow_c.h"

namespace qtensor {

// Calls `batch` for each record batch of the file; the schema is nullptr from the second on. What the arrays point at is
// the file's memory, and valid during the call. Throws Error: it cannot be read, or is malformed.
void read_ipc(const char* path, const std::function<void(const ArrowSchema*, const ArrowArray&)>& batch);

}  // namespace qtensor
