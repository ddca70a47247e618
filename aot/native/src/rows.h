// Encoded rows: what a state keeps of its batches, as programs take it.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer.h"
#include "qtensor_query.h"
#include "text.h"

namespace qtensor {

struct StoredColumn {
  Buffer data;   // of Column::machine; of text made by `sort_text` from `codes`
  Buffer valid;  // bool, where the column is nullable
  Buffer exact;  // double, where programs take FLOAT and the result passes the column on as it was
  Buffer codes;  // int32, of text: codes in the order of appearance
  Vocabulary words;
  Strings strings;  // `words` sorted
};

class Rows {
 public:
  explicit Rows(const Query& query);

  int64_t count() const { return count_; }
  int64_t capacity() const { return capacity_; }
  std::vector<StoredColumn>& columns() { return columns_; }
  const std::vector<StoredColumn>& columns() const { return columns_; }
  bool keeps_exact(size_t column) const { return exact_[column]; }

  void reserve(int64_t rows);
  void added(int64_t rows) { count_ += rows; }
  void clear();

  // Put the rows of another after these. Throws Error: together they have more strings than is assumed.
  void append(const Rows& other);

  // Number the strings anew, so that their order is that of the codes, and write `data` of text columns.
  void sort_text();

  // Make the rows after the last, up to a whole number of chunks, such that programs may compute with them.
  void fill(int64_t chunk);

  // What a slot without a value holds: within the assumed range.
  static int64_t fill_value(const Column& column);

 private:
  const Query& query_;
  std::vector<StoredColumn> columns_;
  std::vector<bool> exact_;
  int64_t count_ = 0;
  int64_t capacity_ = 0;
};

}  // namespace qtensor
