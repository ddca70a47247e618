// A computation: rows as they arrive, and what became of them.
//
// A state *folds* if the query goes on from block to block and reads no text: once a block is full, the step program takes it
// and its rows are gone. Else, or when asked to, it *retains*: rows are only encoded, and `finish` computes from the first.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "arrow_c.h"
#include "batch.h"
#include "host.h"
#include "programs.h"
#include "result.h"
#include "rows.h"

namespace qtensor {

class State {
 public:
  State(const Query& query, bool retain, int threads);

  // Throws Error. One that is about data leaves the state broken: every later call fails with it.
  void step(const ArrowSchema* schema, const ArrowArray& array);
  void merge(State& from);
  void finish(ArrowSchema* schema, ArrowArray* array);

  std::string message;  // of the last error
  bool broken = false;
  int broken_code = 0;

 private:
  // Rows that one program call takes: from chunk `first` of the rows on.
  struct Run {
    int64_t first, rows;
  };
  using Arguments = std::vector<const void*>;

  const Form& last() const { return query_.forms[query_.form_count - 1]; }
  const Form& form_for(int64_t rows) const;
  const HostInputs& host(const Form& form);
  void rows_changed();
  void make_room(int64_t rows);
  void flush();

  void append_rows(Arguments& arguments, int64_t first, const int32_t* count) const;
  void fold(const Form& form, const HostInputs& host, Run run, Progress& progress) const;
  std::vector<Run> runs(const Form& form) const;
  Part part(const Form& form, const HostInputs& host, Run run) const;
  Part finished(const Form& form, const HostInputs& host, const Progress& progress) const;
  std::vector<Part> parts(const Form& form);
  void merge_progress(const Form& form, Progress& into, const Progress& from) const;
  void each(size_t count, const std::function<void(size_t)>& function) const;

  const Query& query_;
  const bool folds_;
  const int threads_;
  InputSchema schema_;
  bool has_schema_ = false;
  Rows rows_;
  bool sorted_ = false;
  int64_t folded_ = 0;  // rows that are in `progress_` and nowhere else
  int64_t block_ = 0;   // rows after which a folding state calls its program
  Progress progress_;
  std::optional<HostInputs> host_;
  const Form* host_form_ = nullptr;
};

}  // namespace qtensor
