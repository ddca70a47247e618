#include "state.h"

#include <algorithm>
#include <exception>
#include <thread>

#include "error.h"

namespace qtensor {
namespace {

constexpr int64_t kMostRows = int64_t{1} << 34;  // MANY_ROWS of lowering/planner/plan.py
constexpr int64_t kFewChunks = 4;                // fewer are not worth a thread

bool has_text(const Query& query) {
  return std::any_of(query.columns, query.columns + query.column_count,
                     [](const Column& column) { return column.type.kind == Kind::Varchar; });
}

// Rows after which a folding state calls its program: few, so that they are still in the cache, but enough that copying the
// sink's state is little beside them.
int64_t block_of(const Query& query) {
  const Form& form = query.forms[query.form_count - 1];
  if (form.of != Form::ByState) return form.rows;
  size_t row_bytes = 1;
  for (size_t i = 0; i < query.column_count; ++i) row_bytes += size_of(query.columns[i].machine) + query.columns[i].nullable;
  const auto chunk_bytes = static_cast<int64_t>(row_bytes) * form.chunk;
  const int64_t chunks = 8 * static_cast<int64_t>(Progress::bytes(*form.step)) / chunk_bytes + 1;
  return std::min(chunks * form.chunk, form.rows);
}

int64_t rounded_up(int64_t rows, int64_t chunk) { return (rows + chunk - 1) / chunk * chunk; }

}  // namespace

State::State(const Query& query, bool retain, int threads)
    : query_(query),
      folds_(!retain && query.forms[query.form_count - 1].of == Form::ByState && !has_text(query)),
      threads_(threads),
      rows_(query),
      block_(block_of(query)) {}

void State::step(const ArrowSchema* schema, const ArrowArray& array) {
  if (query_.table == nullptr) fail(Code::Misuse, "the query reads no table");
  if (schema != nullptr) {
    schema_ = resolve(query_, *schema);
    has_schema_ = true;
  }
  if (!has_schema_) fail(Code::Misuse, "the first batch needs its schema");
  if (array.release == nullptr) fail(Code::Misuse, "the batch has been released");
  Batch batch(query_, schema_, array);
  if (folded_ + rows_.count() + batch.rows() > kMostRows) {
    fail(Code::Capacity, "the exported query is exact for at most " + with_commas(kMostRows) + " rows");
  }
  try {
    for (int64_t first = 0; first < batch.rows();) {
      if (folds_ && rows_.count() == block_) flush();
      const int64_t count = folds_ ? std::min(block_ - rows_.count(), batch.rows() - first) : batch.rows();
      make_room(rows_.count() + count);
      batch.write(first, count, rows_);
      first += count;
    }
  } catch (...) {
    broken = true;
    throw;
  }
  rows_changed();
}

void State::merge(State& from) {
  if (this == &from) fail(Code::Misuse, "a state cannot be merged with itself");
  if (&query_ != &from.query_ || folds_ != from.folds_) fail(Code::Misuse, "the states were opened with different flags");
  const int64_t count = rows_.count() + from.rows_.count();
  if (folded_ + from.folded_ + count > kMostRows) {
    fail(Code::Capacity, "the exported query is exact for at most " + with_commas(kMostRows) + " rows");
  }
  try {
    if (folds_ && (progress_.started() || from.progress_.started() || count > block_)) {
      flush();
      from.flush();
      merge_progress(last(), progress_, from.progress_);
      folded_ += from.folded_;
    } else {
      make_room(count);
      rows_.append(from.rows_);
    }
  } catch (...) {
    broken = true;
    throw;
  }
  from.rows_.clear();
  from.progress_.clear();
  from.folded_ = 0;
  from.rows_changed();
  rows_changed();
}

void State::finish(ArrowSchema* schema, ArrowArray* array) {
  if (folds_ && progress_.started() && rows_.count() > 0) flush();
  const Form& form = progress_.started() ? last() : form_for(rows_.count());
  std::vector<Part> results;
  if (progress_.started()) {
    results.push_back(finished(form, host(form), progress_));
  } else {
    results = parts(form);
  }
  to_arrow(form, host(form), results, schema, array);
}

// The smallest form for so many rows.
const Form& State::form_for(int64_t rows) const {
  for (size_t i = 0; i < query_.form_count; ++i) {
    const Form& form = query_.forms[i];
    if (form.of != Form::Whole || rows <= form.rows) return form;
  }
  fail(Code::Capacity, "the exported query sorts at most " + with_commas(last().rows) + " rows; " + with_commas(rows) + " given");
}

const HostInputs& State::host(const Form& form) {
  if (!sorted_) rows_.sort_text();
  sorted_ = true;
  if (host_form_ != &form) {
    host_.emplace(query_, form, rows_.columns());
    host_form_ = &form;
  }
  return *host_;
}

void State::rows_changed() {
  if (!has_text(query_)) return;  // what is computed of literals stays
  sorted_ = false;
  host_form_ = nullptr;
}

// Few sizes, so that a form never has to move the rows, and growing costs little.
void State::make_room(int64_t rows) {
  if (rows <= rows_.capacity()) return;
  for (size_t i = 0; i < query_.form_count; ++i) {
    if (rows <= query_.forms[i].rows) return rows_.reserve(query_.forms[i].rows);
  }
  rows_.reserve(std::max(rows + last().rows, 2 * rows_.capacity()));
}

// Let the step program take the rows.
void State::flush() {
  const Form& form = last();
  const HostInputs& inputs = host(form);
  if (!progress_.started()) {
    Instance instance(*form.start);
    progress_.take(*form.start, instance.run({}));
  }
  if (rows_.count() == 0) return;
  make_room(form.rows);
  rows_.fill(form.chunk);
  fold(form, inputs, {0, rows_.count()}, progress_);
  folded_ += rows_.count();
  rows_.clear();
}

void State::append_rows(Arguments& arguments, int64_t first, const int32_t* count) const {
  for (size_t i = 0; i < query_.column_count; ++i) {
    const Column& column = query_.columns[i];
    const StoredColumn& stored = rows_.columns()[i];
    arguments.push_back(stored.data.as<char>() + static_cast<size_t>(first) * size_of(column.machine));
    if (column.nullable) arguments.push_back(stored.valid.as<char>() + first);
  }
  arguments.push_back(count);
}

// Step over a run of rows, a block of the form at a time.
void State::fold(const Form& form, const HostInputs& host, Run run, Progress& progress) const {
  Instance instance(*form.step);
  for (int64_t done = 0; done < run.rows; done += form.rows) {
    alignas(64) const int32_t count = static_cast<int32_t>(std::min(form.rows, run.rows - done));
    Arguments arguments;
    progress.append_to(arguments);
    append_rows(arguments, run.first + done, &count);
    arguments.insert(arguments.end(), host.arguments().begin(), host.arguments().end());
    progress.take(*form.step, instance.run(arguments));
  }
}

void State::merge_progress(const Form& form, Progress& into, const Progress& from) const {
  Instance instance(*form.merge);
  Arguments arguments;
  into.append_to(arguments);
  from.append_to(arguments);
  into.take(*form.merge, instance.run(arguments));
}

// One run of whole chunks for each thread; what a single call takes is not divided.
std::vector<State::Run> State::runs(const Form& form) const {
  const int64_t rows = rows_.count(), chunks = rounded_up(rows, form.chunk) / form.chunk;
  if (form.of == Form::Whole || chunks < kFewChunks) return {{0, rows}};
  const int64_t share = rounded_up(chunks, threads_) / threads_ * form.chunk;
  std::vector<Run> result;
  for (int64_t first = 0; first < rows; first += share) result.push_back({first, std::min(share, rows - first)});
  return result;
}

// The result of one call of `whole`.
Part State::part(const Form& form, const HostInputs& host, Run run) const {
  Instance instance(*form.whole);
  alignas(64) const int32_t count = static_cast<int32_t>(run.rows);
  Arguments arguments;
  append_rows(arguments, run.first, &count);
  arguments.insert(arguments.end(), host.arguments().begin(), host.arguments().end());
  return pick(query_, form, *form.whole, rows_, run.first, instance.run(arguments));
}

Part State::finished(const Form& form, const HostInputs& host, const Progress& progress) const {
  Instance instance(*form.finish);
  Arguments arguments;
  progress.append_to(arguments);
  arguments.insert(arguments.end(), host.arguments().begin(), host.arguments().end());
  return pick(query_, form, *form.finish, rows_, 0, instance.run(arguments));
}

// The parts of the result, computed from all rows.
std::vector<Part> State::parts(const Form& form) {
  if (query_.table == nullptr && rows_.count() == 0) rows_.added(1);  // SELECT without FROM has one row
  // A program is given memory for all rows that it might take, though it looks at no chunk behind the last row.
  make_room(form.of == Form::Whole ? form.rows : rounded_up(rows_.count(), form.chunk) + form.rows);
  rows_.fill(form.chunk);
  const HostInputs& inputs = host(form);
  const std::vector<Run> shares = runs(form);
  std::vector<Part> result;
  if (form.of != Form::ByState) {
    std::vector<Run> calls;
    for (const Run& share : shares) {
      for (int64_t done = 0; done < std::max<int64_t>(share.rows, 1); done += form.rows) {
        calls.push_back({share.first + done, std::min(form.rows, share.rows - done)});
      }
    }
    result.resize(calls.size());
    each(calls.size(), [&](size_t call) { result[call] = part(form, inputs, calls[call]); });
    return result;
  }
  std::vector<Progress> progress(shares.size());
  {
    Instance instance(*form.start);
    const void* const* start = instance.run({});
    for (Progress& one : progress) one.take(*form.start, start);
  }
  each(shares.size(), [&](size_t share) { fold(form, inputs, shares[share], progress[share]); });
  for (size_t share = 1; share < shares.size(); ++share) merge_progress(form, progress[0], progress[share]);
  result.push_back(finished(form, inputs, progress[0]));
  return result;
}

// Call the function for 0 to count - 1 on as many threads; the first of them to fail decides the error.
void State::each(size_t count, const std::function<void(size_t)>& function) const {
  if (count == 1) return function(0);
  const size_t workers = std::min(count, static_cast<size_t>(threads_));
  std::vector<std::exception_ptr> failures(count);
  auto work = [&](size_t worker) {
    const size_t begin = count * worker / workers, end = count * (worker + 1) / workers;
    for (size_t i = begin; i < end; ++i) {
      try {
        function(i);
      } catch (...) {
        failures[i] = std::current_exception();
        return;
      }
    }
  };
  std::vector<std::thread> others;
  size_t started = 1;
  try {
    for (; started < workers; ++started) others.emplace_back(work, started);
  } catch (const std::exception&) {  // no thread to be had: what it would have done is done here
  }
  work(0);
  for (size_t worker = started; worker < workers; ++worker) work(worker);
  for (std::thread& other : others) other.join();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

}  // namespace qtensor
