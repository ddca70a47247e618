// Queries for tests of the engine without a compiler behind it: programs are plain functions, which also look at what they are given.
//
// A test describes the columns and picks one of four kinds; `engine_define` makes the constant Query that export would generate.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "engine.h"
#include "qtensor_query.h"

using namespace qtensor;

namespace {

enum Kinds { kRows = 0, kFold = 1, kGroups = 2, kSort = 3 };
enum Functions { kWhole = 0, kStart, kStep, kMerge, kFinish };

std::atomic<int> violations{0};  // what programs were given wrongly

struct Defined;

struct Compiled {
  const Defined* query = nullptr;
  const Form* form = nullptr;
  int function = 0;
  std::vector<size_t> argument_bytes, result_bytes;
  Program program{};
};

struct Defined {
  int kind = 0;
  bool filter = false;
  std::deque<std::string> texts;
  std::vector<Column> columns;
  std::vector<Dictionary> dictionaries;
  std::vector<Output> outputs;
  std::vector<Literal> literals;
  std::vector<Scalar> scalars;
  std::vector<Table> tables;
  std::vector<DType> sinks;
  std::vector<const char*> checks;
  std::vector<Form> forms;
  std::deque<Compiled> programs;
  std::vector<double> weight = {0.5};
  std::vector<Weight> weights;
  Query query{};
};

size_t width(DType type) { return std::array<size_t, 7>{1, 1, 2, 4, 8, 4, 8}[static_cast<size_t>(type)]; }

int64_t integer_at(DType type, const void* data, int64_t i) {
  switch (type) {
    case DType::Bool:
    case DType::Int8:
      return static_cast<const int8_t*>(data)[i];
    case DType::Int16:
      return static_cast<const int16_t*>(data)[i];
    case DType::Int32:
      return static_cast<const int32_t*>(data)[i];
    case DType::Int64:
      return static_cast<const int64_t*>(data)[i];
    default:
      return 0;
  }
}

void expect(bool condition, const char* what) {
  if (condition) return;
  if (violations++ < 10) std::fprintf(stderr, "a program was given: %s\n", what);
}


struct Instance {
  const Compiled* compiled;
  std::vector<std::vector<char>> memory;
  std::vector<char*> results;
};

// A block's columns as a program sees them, after it has looked at every slot that it may read.
struct Block {
  const Compiled& compiled;
  const void* const* arguments;  // the first column
  int64_t rows = 0;
  std::vector<const void*> data, valid;
  const int64_t* scalars = nullptr;
  const uint8_t* table = nullptr;

  Block(const Compiled& one, const void* const* given, size_t left) : compiled(one), arguments(given) {
    const Defined& query = *one.query;
    size_t next = 0;
    for (const Column& column : query.columns) {
      data.push_back(given[next++]);
      valid.push_back(column.nullable ? given[next++] : nullptr);
    }
    rows = *static_cast<const int32_t*>(given[next++]);
    scalars = static_cast<const int64_t*>(given[next++]);
    ++next;
    if (!query.tables.empty()) table = static_cast<const uint8_t*>(given[next++]);
    expect(*static_cast<const double*>(given[next++]) == 0.5, "other weights");
    expect(next == left, "another number of arguments");
    for (size_t i = 0; i < left; ++i) expect(reinterpret_cast<uintptr_t>(given[i]) % 64 == 0, "memory that is not aligned");
    expect(rows >= 0 && rows <= one.form->rows, "too many rows");
    int64_t used = (rows + one.form->chunk - 1) / one.form->chunk * one.form->chunk;
    for (size_t c = 0; c < query.columns.size(); ++c) {
      const Column& column = query.columns[c];
      bool real = column.machine == DType::Float32 || column.machine == DType::Float64;
      for (int64_t i = 0; i < used; ++i) {
        bool is_valid = valid[c] == nullptr ? i < rows : static_cast<const uint8_t*>(valid[c])[i] != 0;
        if (valid[c] != nullptr) expect(static_cast<const uint8_t*>(valid[c])[i] <= 1, "a Boolean that is neither 0 nor 1");
        expect(!is_valid || i < rows, "a valid row beyond the last");
        if (real) continue;
        int64_t value = integer_at(column.machine, data[c], i);
        expect(!column.has_range || (column.low <= value && value <= column.high), "a slot beyond the assumed range");
      }
      // Everything may be read, though only these are looked at.
      if (one.form->rows > used) integer_at(column.machine, data[c], one.form->rows - 1);
    }
  }
  int64_t value(size_t column, int64_t i) const { return integer_at(compiled.query->columns[column].machine, data[column], i); }
  bool is_valid(size_t column, int64_t i) const {
    return valid[column] == nullptr || static_cast<const uint8_t*>(valid[column])[i] != 0;
  }
};

// The state of a fold: sum, rows, first and last value of the first column.
struct Folded {
  __int128 sum = 0;
  int64_t count = 0, first = 0, last = 0, seen = 0;
};

void put_flag(Instance& instance, size_t at, bool flag) { instance.results[at][0] = flag; }

bool run_fold(Instance& instance, const void* const* arguments) {
  const Compiled& compiled = *instance.compiled;
  Folded state;
  size_t next = 0;
  bool flag = false;
  auto take = [&] {
    Folded one;
    std::memcpy(static_cast<void*>(&one), arguments[next++], sizeof one);
    flag |= *static_cast<const uint8_t*>(arguments[next++]) != 0;
    return one;
  };
  if (compiled.function == kMerge) {
    Folded left = take(), right = take();
    state = {left.sum + right.sum, left.count + right.count, left.seen ? left.first : right.first,
             right.seen ? right.last : left.last, left.seen + right.seen};
  } else if (compiled.function == kStep || compiled.function == kFinish) {
    state = take();
  }
  if (compiled.function == kStep || compiled.function == kWhole) {
    Block block(compiled, arguments + next, compiled.program.argument_count - next);
    for (int64_t i = 0; i < block.rows; ++i) {
      ++state.count;
      if (!block.is_valid(0, i)) continue;
      int64_t value = block.value(0, i);
      flag |= compiled.query->filter && value == compiled.query->columns[0].high;
      state.sum += value;
      if (state.seen++ == 0) state.first = value;
      state.last = value;
    }
  }
  if (compiled.function == kFinish || compiled.function == kWhole) {
    int64_t high = static_cast<int64_t>(state.sum >> 32), low = static_cast<int64_t>(state.sum & 0xFFFFFFFF);
    int64_t values[] = {high, low, state.count, state.first, state.last};
    for (size_t i = 0; i < 5; ++i) std::memcpy(instance.results[i], &values[i], 8);
    instance.results[5][0] = state.seen > 0;
    instance.results[6][0] = 1;
    put_flag(instance, 7, flag);
  } else {
    std::memcpy(instance.results[0], static_cast<void*>(&state), sizeof state);
    put_flag(instance, 1, flag);
  }
  return true;
}

bool run_groups(Instance& instance, const void* const* arguments) {
  const Compiled& compiled = *instance.compiled;
  auto size = static_cast<size_t>(compiled.query->columns[0].strings) + 1;
  std::vector<int64_t> counts(size);
  size_t next = 0;
  auto add = [&] {
    const auto* other = static_cast<const int64_t*>(arguments[next]);
    next += 2;
    for (size_t i = 0; i < size; ++i) counts[i] += other[i];
  };
  if (compiled.function == kMerge) add();
  if (compiled.function == kMerge || compiled.function == kStep || compiled.function == kFinish) add();
  const int64_t* scalars = nullptr;
  const uint8_t* table = nullptr;
  if (compiled.function == kStep || compiled.function == kWhole) {
    Block block(compiled, arguments + next, compiled.program.argument_count - next);
    for (int64_t i = 0; i < block.rows; ++i) ++counts[block.is_valid(0, i) ? static_cast<size_t>(block.value(0, i)) : size - 1];
    scalars = block.scalars;
    table = block.table;
  } else if (compiled.function == kFinish) {
    scalars = static_cast<const int64_t*>(arguments[next]);
    table = static_cast<const uint8_t*>(arguments[next + 2]);
  }
  if (compiled.function != kFinish && compiled.function != kWhole) {
    std::memcpy(instance.results[0], counts.data(), size * 8);
    put_flag(instance, 1, false);
    return true;
  }
  for (size_t i = 0; i < size; ++i) {  // code, valid, count, matches the pattern, is less than the literal, is the literal
    auto code = static_cast<int32_t>(i == size - 1 ? -7 : static_cast<int64_t>(i));
    std::memcpy(instance.results[0] + 4 * i, &code, 4);
    instance.results[1][i] = i != size - 1;
    std::memcpy(instance.results[2] + 8 * i, &counts[i], 8);
    instance.results[3][i] = i != size - 1 && table[i] != 0;
    instance.results[4][i] = static_cast<int64_t>(i) < scalars[1];
    instance.results[5][i] = static_cast<int64_t>(i) == scalars[0];
    instance.results[6][i] = counts[i] != 0;
  }
  put_flag(instance, 7, false);
  return true;
}

bool run_rows(Instance& instance, const void* const* arguments) {
  const Compiled& compiled = *instance.compiled;
  Block block(compiled, arguments, compiled.program.argument_count);
  for (int64_t i = 0; i < compiled.form->rows; ++i) {
    bool live = i < block.rows;
    if (live && compiled.query->filter) live = block.is_valid(0, i) && block.value(0, i) % 2 == 0;
    instance.results[0][i] = live;
  }
  put_flag(instance, 1, false);
  return true;
}

bool run_sort(Instance& instance, const void* const* arguments) {
  const Compiled& compiled = *instance.compiled;
  Block block(compiled, arguments, compiled.program.argument_count);
  std::vector<int64_t> values;
  for (int64_t i = 0; i < block.rows; ++i) {
    if (block.is_valid(0, i)) values.push_back(block.value(0, i));
  }
  std::sort(values.begin(), values.end());
  std::memset(instance.results[1], 0, static_cast<size_t>(compiled.form->rows));
  if (!values.empty()) std::memcpy(instance.results[0], values.data(), values.size() * 8);
  std::memset(instance.results[1], 1, values.size());
  put_flag(instance, 2, false);
  return true;
}

// A Program knows its functions and nothing else, so each has functions of its own.
constexpr size_t kMost = 2048;
Compiled* compiled_programs[kMost];
size_t compiled_count = 0;

void* create_instance(const Compiled* compiled) {
  auto instance = std::make_unique<Instance>();
  instance->compiled = compiled;
  for (size_t bytes : compiled->result_bytes) {
    instance->memory.emplace_back(bytes + 64);
    instance->results.push_back(instance->memory.back().data());
  }
  return instance.release();
}

bool run_instance(void* pointer, const void* const* arguments, const void** results) {
  auto& instance = *static_cast<Instance*>(pointer);
  for (size_t i = 0; i < instance.results.size(); ++i) results[i] = instance.results[i];
  switch (instance.compiled->query->kind) {
    case kFold:
      return run_fold(instance, arguments);
    case kGroups:
      return run_groups(instance, arguments);
    case kSort:
      return run_sort(instance, arguments);
    default:
      return run_rows(instance, arguments);
  }
}

template <size_t N>
void* create() {
  return create_instance(compiled_programs[N]);
}

using Create = void* (*)();
template <size_t... N>
constexpr std::array<Create, sizeof...(N)> creators(std::index_sequence<N...>) {
  return {create<N>...};
}
constexpr auto kCreators = creators(std::make_index_sequence<kMost>());

const Program* compile(Defined& query, const Form& form, int function) {
  query.programs.emplace_back();
  Compiled& compiled = query.programs.back();
  compiled.query = &query;
  compiled.form = &form;
  compiled.function = function;
  auto rows = static_cast<size_t>(form.rows);
  std::vector<size_t> progress, block, shared, outcome;
  size_t groups = query.kind == kGroups ? static_cast<size_t>(query.columns[0].strings) + 1 : 0;
  if (query.kind == kFold) progress = {sizeof(Folded), 1};
  if (query.kind == kGroups) progress = {groups * 8, 1};
  for (const Column& column : query.columns) {
    block.push_back(rows * width(column.machine));
    if (column.nullable) block.push_back(rows);
  }
  block.push_back(4);
  shared = {8 * query.scalars.size(), 0};
  for (const Table& table : query.tables) shared.push_back(table.size);
  shared.push_back(8);
  size_t length = query.kind == kFold ? 1 : query.kind == kGroups ? groups : rows;
  for (DType sink : query.sinks) outcome.push_back(length * width(sink));
  outcome.push_back(length);
  outcome.push_back(1);
  auto add = [&](const std::vector<size_t>& more) {
    compiled.argument_bytes.insert(compiled.argument_bytes.end(), more.begin(), more.end());
  };
  if (function == kStep || function == kMerge || function == kFinish) add(progress);
  if (function == kMerge) add(progress);
  if (function == kStep || function == kWhole) add(block);
  if (function == kStep || function == kWhole || function == kFinish) add(shared);
  compiled.result_bytes = function == kWhole || function == kFinish ? outcome : progress;
  size_t number = compiled_count++;
  compiled_programs[number] = &compiled;
  compiled.program = {compiled.argument_bytes.size(), compiled.argument_bytes.data(), compiled.result_bytes.size(),
                      compiled.result_bytes.data(),   kCreators[number],
                      [](void* instance) { delete static_cast<Instance*>(instance); }, run_instance};
  return &compiled.program;
}

const char* kept(Defined& query, const std::string& text) {
  query.texts.push_back(text);
  return query.texts.back().c_str();
}

// One column a line: name kind bits signed precision scale machine nullable has_range low high may_be_nan strings type
void read_columns(Defined& query, const char* description) {
  std::istringstream lines(description);
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string name, type;
    int kind, bits, is_signed, precision, scale, machine, nullable, has_range, may_be_nan;
    int64_t low, high, strings;
    words >> name >> kind >> bits >> is_signed >> precision >> scale >> machine >> nullable >> has_range >> low >> high >> may_be_nan >>
        strings >> type;
    SqlType sql{static_cast<Kind>(kind), bits, is_signed != 0, precision, scale, 0, kept(query, type)};
    query.columns.push_back({kept(query, name), sql, static_cast<DType>(machine), nullable != 0, has_range != 0, low, high,
                             may_be_nan != 0, strings});
  }
}

Slot sink(int32_t index) { return {index, false, false}; }
constexpr Slot kNowhere{-1, false, false};

void add_output(Defined& query, const char* name, SqlType type, Slot data, Slot valid, Slot low, int32_t dictionary) {
  query.outputs.push_back({name, type, data, valid, low, nullptr, 0, dictionary});
}

void describe(Defined& query, const char* pattern, const char* literal) {
  SqlType bigint{Kind::Integer, 64, true, 0, 0, 0, "BIGINT"}, huge{Kind::Integer, 128, true, 0, 0, 0, "HUGEINT"};
  SqlType boolean{Kind::Boolean, 0, true, 0, 0, 0, "BOOLEAN"}, varchar{Kind::Varchar, 0, true, 0, 0, 0, "VARCHAR"};
  for (size_t i = 0; i < query.columns.size(); ++i) {
    if (query.columns[i].type.kind != Kind::Varchar) continue;
    query.dictionaries.push_back({Dictionary::OfColumn, static_cast<int32_t>(i), nullptr, 0, nullptr, nullptr, 0});
  }
  query.literals.push_back({varchar, false, 0, 0, kept(query, pattern), std::strlen(pattern)});
  query.literals.push_back({varchar, false, 0, 0, kept(query, literal), std::strlen(literal)});
  query.checks = {"the check was hit"};
  if (query.kind == kFold) {
    query.sinks = {DType::Int64, DType::Int64, DType::Int64, DType::Int64, DType::Int64, DType::Bool};
    add_output(query, "sum", huge, sink(0), sink(5), sink(1), -1);
    add_output(query, "rows", bigint, sink(2), kNowhere, kNowhere, -1);
    add_output(query, "first", bigint, sink(3), sink(5), kNowhere, -1);
    add_output(query, "last", bigint, sink(4), sink(5), kNowhere, -1);
  } else if (query.kind == kGroups) {
    query.sinks = {DType::Int32, DType::Bool, DType::Int64, DType::Bool, DType::Bool, DType::Bool};
    add_output(query, "text", varchar, sink(0), sink(1), kNowhere, 0);
    add_output(query, "rows", bigint, sink(2), kNowhere, kNowhere, -1);
    add_output(query, "matches", boolean, sink(3), sink(1), kNowhere, -1);
    add_output(query, "less", boolean, sink(4), sink(1), kNowhere, -1);
    add_output(query, "equal", boolean, sink(5), sink(1), kNowhere, -1);
    query.scalars = {{Scalar::CodeOf, 1, 1, false, 0, 0, 0, false}, {Scalar::PositionOf, 1, 1, false, 0, 0, 0, false}};
    query.tables = {{Table::Like, 0, -1, 0, -1, query.filter, nullptr, 0, nullptr, static_cast<size_t>(query.columns[0].strings), DType::Bool}};
  } else if (query.kind == kSort) {
    query.sinks = {DType::Int64};
    add_output(query, "value", query.columns[0].type, sink(0), kNowhere, kNowhere, query.dictionaries.empty() ? -1 : 0);
  } else {
    int32_t dictionary = 0;
    for (size_t i = 0; i < query.columns.size(); ++i) {
      const Column& column = query.columns[i];
      auto index = static_cast<int32_t>(i);
      add_output(query, column.name, column.type, {index, true, false}, column.nullable ? Slot{index, true, true} : kNowhere, kNowhere,
                 column.type.kind == Kind::Varchar ? dictionary++ : -1);
    }
  }
}

std::deque<std::unique_ptr<Defined>> defined;

}  // namespace

extern "C" {

// filter: of rows keeps the even ones, of a fold hits the check at the highest value, of groups ignores case.
// sizes: rows of the forms, the smallest first; the last is the block's, but of a sort. chunk: that of the larger ones.
int engine_define(int kind, int filter, const char* columns, const int64_t* sizes, int count, int64_t chunk, const char* pattern,
                  const char* literal) {
  defined.push_back(std::make_unique<Defined>());
  Defined& query = *defined.back();
  query.kind = kind;
  query.filter = filter != 0;
  read_columns(query, columns);
  describe(query, pattern, literal);
  query.weights = {{query.weight.data(), 8}};
  alignas(64) static const double half[8] = {0.5};
  query.weights[0].content = half;
  for (int i = 0; i < count; ++i) {
    Form form{};
    bool last = i == count - 1;
    form.of = !last || kind == kSort ? Form::Whole : kind == kRows ? Form::ByRows : Form::ByState;
    form.rows = sizes[i];
    form.chunk = std::min(sizes[i], chunk);
    form.literals = query.literals.data();
    form.literal_count = query.literals.size();
    form.dictionaries = query.dictionaries.data();
    form.dictionary_count = query.dictionaries.size();
    form.scalars = query.scalars.data();
    form.scalar_count = query.scalars.size();
    form.tables = query.tables.data();
    form.table_count = query.tables.size();
    form.checks = query.checks.data();
    form.check_count = query.checks.size();
    form.sink_types = query.sinks.data();
    form.sink_count = query.sinks.size();
    form.outputs = query.outputs.data();
    form.output_count = query.outputs.size();
    query.forms.push_back(form);
  }
  for (Form& form : query.forms) {
    if (form.of == Form::ByState) {
      form.start = compile(query, form, kStart);
      form.step = compile(query, form, kStep);
      form.merge = compile(query, form, kMerge);
      form.finish = compile(query, form, kFinish);
    } else {
      form.whole = compile(query, form, kWhole);
    }
  }
  query.query = {"test", "SELECT", "t", query.columns.data(), query.columns.size(), query.forms.data(), query.forms.size(),
                 query.weights.data(), query.weights.size()};
  return static_cast<int>(defined.size()) - 1;
}

State* engine_open(int query, uint32_t flags) { return open_state(defined[static_cast<size_t>(query)]->query, flags); }
int engine_step(State* state, ArrowSchema* schema, ArrowArray* array) { return step(state, schema, array); }
int engine_step_file(State* state, const char* path) { return step_file(state, path); }
int engine_merge(State* into, State* from) { return merge(into, from); }
int engine_finish(State* state, ArrowSchema* schema, ArrowArray* array) { return finish(state, schema, array); }
const char* engine_error(const State* state) { return error(state); }
void engine_close(State* state) { close_state(state); }
int engine_violations() { return violations; }

}  // extern "C"
