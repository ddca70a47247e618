// What a form's programs take beside rows: scalars of literals, and tables made of dictionaries (lowering/host/inputs.py).
#pragma once

#include <cstdint>
#include <vector>

#include "buffer.h"
#include "qtensor_query.h"
#include "rows.h"
#include "text.h"

namespace qtensor {

class HostInputs {
 public:
  // `columns` have their strings sorted, and outlive this.
  HostInputs(const Query& query, const Form& form, const std::vector<StoredColumn>& columns);

  // Scalars, float scalars, tables, weights: the last arguments of every program that takes rows or finishes.
  const std::vector<const void*>& arguments() const { return arguments_; }
  const Strings& strings(int32_t dictionary) const { return dictionaries_[static_cast<size_t>(dictionary)]; }

 private:
  Strings resolved(const Dictionary& dictionary, const std::vector<StoredColumn>& columns) const;
  std::string_view text(int32_t literal) const;
  int64_t scalar(const Scalar& scalar) const;
  void write(const Table& table, Buffer& out) const;

  const Form& form_;
  std::vector<Strings> dictionaries_;
  std::vector<Buffer> buffers_;
  std::vector<const void*> arguments_;
};

}  // namespace qtensor
