"""Serialised executables without the program that they were compiled of, which only makes them slow to load.

An executable of XLA:CPU is written with its optimised HLO, every instruction of it, and with what each of them has in memory.
What loads it builds all that up again, and runs the compiler's analyses over it, to find out where parameters, constants and
results lie; the machine code needs nothing else. So the module is cut down to these: parameters, constants, and one instruction
without operands for each result. The whole module goes along compressed, where XLA does not look, for whoever asks for it.

Measured (2 cores, jaxlib 0.10.1): the largest program of TPC-H loads in 9 ms instead of 48 and takes 205 KB instead of 380.
Of the 22 queries at scale 1, all modules of the median one load in 13 ms instead of 54, those of the slowest in 35, not 112.

XLA's messages are not documented and may change, and it ends the process where they contradict each other. Therefore only those
are cut whose every field is known, written by a version of jaxlib of which tests have shown that it takes them.
"""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass, field
from functools import cached_property

from jaxlib import version

from qtensor.aot.protobuf import Field, Message, delimited, message, number, packed, read_varint

logger = logging.getLogger("qtensor")

KNOWN_VERSIONS = ("0.10.1", "0.12.0.1")
WHOLE_MODULE = 1000  # our field of the executable's message: the compressed HloModuleProto

# Fields of the messages, by their numbers in XLA's definitions.
EXECUTABLE_RESULT = 1
RESULT_MODULE, RESULT_BUFFERS = 1, 2
WITH_CONFIG_MODULE = 1
MODULE_COMPUTATIONS, MODULE_ENTRY, MODULE_SCHEDULE = 3, 6, 7
MODULE_KNOWN = {1, 2, 3, 4, 5, 6, 7, 8, 15, 18, 19}
MODULE_EMPTY = (8, 18, 19)  # what ties results to parameters, or memory to either
COMPUTATION_INSTRUCTIONS, COMPUTATION_ID, COMPUTATION_ROOT = 2, 5, 6
NAME, OPCODE, SHAPE, LITERAL, PARAMETER_NUMBER, TUPLE_INDEX, CALL_TARGET = 1, 2, 3, 8, 9, 13, 28
INSTRUCTION_ID, OPERANDS, CALLED_COMPUTATIONS = 35, 36, 38
SHAPE_ELEMENT_TYPE, SHAPE_TUPLE, TUPLE = 2, 4, 13
BUFFER_VALUES, BUFFER_ALIASES, BUFFER_ALLOCATIONS = 1, 2, 3
BUFFERS_KNOWN = {1, 2, 3, 4, 5}
VALUE_ID, VALUE_DEFINED_AT = 1, 3
ALIAS_SOURCE, ALIAS_LOCATION = 1, 2
LOCATION_SHAPE_INDEX, LOCATION_INSTRUCTION = 3, 4
ALLOCATION_LIVE_OUT, ALLOCATION_ASSIGNED, ALLOCATION_IS_CONSTANT = 7, 9, 12
ASSIGNED_VALUE = 1


class UnknownFormatError(Exception):
    """A serialised executable is not as those that this module knows."""


def slimmed(payload: bytes) -> bytes:
    """A serialised executable that loads faster and does the same; `payload` itself where it is not known how."""
    if version.__version__ not in KNOWN_VERSIONS or is_slim(payload):
        return payload
    try:
        return Slimming.of(payload).result()
    except (UnknownFormatError, ValueError, LookupError) as error:
        logger.debug("an executable is kept with its HLO: %s", error)
        return payload


def is_slim(payload: bytes) -> bool:
    """Whether the HLO was cut away."""
    try:
        return WHOLE_MODULE in Message(divided(payload)[1]).numbers
    except ValueError:
        return False


def whole_module(payload: bytes) -> bytes | None:
    """The HloModuleProto that an executable was compiled of; None if it still has it."""
    return zlib.decompress(Message(divided(payload)[1]).bytes(WHOLE_MODULE)) if is_slim(payload) else None


def divided(payload: bytes) -> tuple[bytes, bytes]:
    """The description in front with its length, and the executable's message."""
    size, start = read_varint(payload, 0)
    return payload[: start + size], payload[start + size :]


@dataclass
class Slimming:
    """An executable taken apart. kept: by the number of a value in memory the instruction that defines it now."""

    head: bytes
    executable: Message
    result_message: Message
    with_config: Message
    module: Message
    buffers: Message
    computations: dict[int, Message]
    entry_id: int
    values: dict[int, Message]
    known: dict[int, dict[int, Message]] = field(default_factory=dict)  # instructions by computation
    written: list[Field] = field(default_factory=list)
    kept: dict[int, int] = field(default_factory=dict)

    @staticmethod
    def of(payload: bytes) -> Slimming:
        head, rest = divided(payload)
        executable = Message(rest)
        result = Message(executable.bytes(EXECUTABLE_RESULT))
        with_config = Message(result.bytes(RESULT_MODULE))
        module, buffers = Message(with_config.bytes(WITH_CONFIG_MODULE)), Message(result.bytes(RESULT_BUFFERS))
        if not module.numbers <= MODULE_KNOWN or not buffers.numbers <= BUFFERS_KNOWN:
            raise UnknownFormatError(f"fields {module.numbers - MODULE_KNOWN}, {buffers.numbers - BUFFERS_KNOWN}")
        if any(module.bytes(empty) for empty in MODULE_EMPTY):
            raise UnknownFormatError("results share memory with parameters")
        computations = {each.integer(COMPUTATION_ID): each for each in module.messages(MODULE_COMPUTATIONS)}
        values = {value.integer(VALUE_ID): value for value in buffers.messages(BUFFER_VALUES)}
        entry = module.integer(MODULE_ENTRY)
        return Slimming(head, executable, result, with_config, module, buffers, computations, entry, values)

    @property
    def entry(self) -> Message:
        return self.computations[self.entry_id]

    def instruction(self, identity: int) -> Message:
        """An instruction by its number, whose high half is that of its computation."""
        computation = identity >> 32
        if computation not in self.known:
            found = self.computations[computation].messages(COMPUTATION_INSTRUCTIONS)
            self.known[computation] = {each.integer(INSTRUCTION_ID): each for each in found}
        return self.known[computation][identity]

    @cached_property
    def places(self) -> dict[tuple[int, tuple[int, ...]], int]:
        """The value at an index of an instruction's shape."""
        places = {place_of(value.bytes(VALUE_DEFINED_AT)): identity for identity, value in self.values.items()}
        for alias in self.buffers.messages(BUFFER_ALIASES):
            places.setdefault(place_of(alias.bytes(ALIAS_LOCATION)), alias.integer(ALIAS_SOURCE))
        return places

    def result(self) -> bytes:
        """The payload anew."""
        allocations = self.buffers.messages(BUFFER_ALLOCATIONS)
        root = self.instruction(self.entry.integer(COMPUTATION_ROOT))
        for instruction in self.known[self.entry_id].values():
            if instruction.bytes(OPCODE) == b"parameter":
                self.keep(instruction, self.value_of(instruction.integer(INSTRUCTION_ID)), PARAMETER_NUMBER)
        for allocation in allocations:
            for value in assigned(allocation) if allocation.integer(ALLOCATION_IS_CONSTANT) else ():
                identity, index = place_of(self.values[value].bytes(VALUE_DEFINED_AT))
                instruction = self.instruction(identity)
                if instruction.bytes(OPCODE) != b"constant" or index:
                    raise UnknownFormatError("a constant that is none")
                self.keep(instruction, value, LITERAL)
        outputs = self.keep_outputs(root)
        for allocation in allocations:
            if any(value in outputs for value in assigned(allocation)) != bool(allocation.integer(ALLOCATION_LIVE_OUT)):
                raise UnknownFormatError("an allocation whose results are not all known")
        return self.head + message(
            [
                *self.replaced(self.executable, EXECUTABLE_RESULT, self.result_anew(allocations)),
                delimited(WHOLE_MODULE, zlib.compress(self.with_config.bytes(WITH_CONFIG_MODULE))),
            ]
        )

    def keep_outputs(self, root: Message) -> set[int]:
        """Keep what is in the tuple of results and the tuple itself; their values."""
        values = []
        for value, shape in self.outputs(root):
            values.append(value)
            if value not in self.kept:
                if Message(shape).integer(SHAPE_ELEMENT_TYPE) == TUPLE:
                    raise UnknownFormatError("a tuple of tuples")
                name = f"result.{len(values)}".encode()
                call = [delimited(OPCODE, b"custom-call"), delimited(SHAPE, shape), delimited(CALL_TARGET, b"result")]
                self.define(value, [delimited(NAME, name), *call])
        tuple_value = self.value_of(root.integer(INSTRUCTION_ID))
        operands = packed(OPERANDS, [self.kept[value] for value in values])
        self.define(tuple_value, [*root.only(NAME, SHAPE), delimited(OPCODE, b"tuple"), operands])
        return {*values, tuple_value}

    def outputs(self, root: Message) -> list[tuple[int, bytes]]:
        """The values in the tuple of results with their shapes: a tuple's operands, or what a conditional gives."""
        match root.bytes(OPCODE):
            case b"tuple":
                return [(self.value_of(each), self.instruction(each).bytes(SHAPE)) for each in root.integers(OPERANDS)]
            case b"conditional":
                shapes = [each.content for each in Message(root.bytes(SHAPE)).only(SHAPE_TUPLE)]
                return [(self.value_of(root.integer(INSTRUCTION_ID), (place,)), shape) for place, shape in enumerate(shapes)]
            case opcode:
                raise UnknownFormatError(f"the results are no tuple but a {opcode!r}")

    def value_of(self, instruction: int, index: tuple[int, ...] = ()) -> int:
        """The value that an instruction has at an index of its shape."""
        if (instruction, index) in self.places:
            return self.places[instruction, index]
        described = self.instruction(instruction)
        operands = described.integers(OPERANDS)
        match described.bytes(OPCODE):
            case b"get-tuple-element":
                return self.value_of(operands[0], (described.integer(TUPLE_INDEX), *index))
            case b"tuple" if index:
                return self.value_of(operands[index[0]], index[1:])
            case b"bitcast":
                return self.value_of(operands[0], index)
            case b"call":
                (called,) = described.integers(CALLED_COMPUTATIONS)
                return self.value_of(self.computations[called].integer(COMPUTATION_ROOT), index)
            case opcode:
                raise UnknownFormatError(f"nothing is known of what {opcode!r} has at {index}")

    def keep(self, instruction: Message, value: int, *fields: int) -> None:
        if value not in self.kept:
            self.define(value, instruction.only(NAME, OPCODE, SHAPE, *fields))

    def define(self, value: int, fields: list[Field]) -> None:
        """Write the instruction that defines a value."""
        identity = self.entry_id << 32 | (len(self.written) + 1)
        self.written.append(delimited(COMPUTATION_INSTRUCTIONS, message([*fields, number(INSTRUCTION_ID, identity)])))
        self.kept[value] = identity

    def result_anew(self, allocations: list[Message]) -> bytes:
        root = number(COMPUTATION_ROOT, list(self.kept.values())[-1])
        computation = message([*self.entry.without(COMPUTATION_INSTRUCTIONS, COMPUTATION_ROOT), *self.written, root])
        module = message(
            [*self.module.without(MODULE_COMPUTATIONS, MODULE_SCHEDULE), delimited(MODULE_COMPUTATIONS, computation)]
        )
        values = [
            delimited(
                BUFFER_VALUES,
                message(
                    [
                        *self.values[value].without(VALUE_DEFINED_AT),
                        delimited(VALUE_DEFINED_AT, message([number(LOCATION_INSTRUCTION, instruction)])),
                    ]
                ),
            )
            for value, instruction in self.kept.items()
        ]
        kept_allocations = [delimited(BUFFER_ALLOCATIONS, self.allocation_anew(allocation)) for allocation in allocations]
        with_config = message(self.replaced(self.with_config, WITH_CONFIG_MODULE, module))
        fields = self.replaced(self.result_message, RESULT_MODULE, with_config)
        return message(self.replaced(fields, RESULT_BUFFERS, message([*values, *kept_allocations])))

    def allocation_anew(self, allocation: Message) -> bytes:
        values = [
            each for each in allocation.only(ALLOCATION_ASSIGNED) if Message(each.content).integer(ASSIGNED_VALUE) in self.kept
        ]
        return message([*allocation.without(ALLOCATION_ASSIGNED), *values])

    @staticmethod
    def replaced(fields: Message | list[Field], number: int, content: bytes) -> list[Field]:
        every = fields.fields if isinstance(fields, Message) else fields
        return [delimited(number, content) if each.number == number else each for each in every]


def place_of(location: bytes) -> tuple[int, tuple[int, ...]]:
    """An instruction, and an index of its shape."""
    described = Message(location)
    return described.integer(LOCATION_INSTRUCTION), tuple(described.integers(LOCATION_SHAPE_INDEX))


def assigned(allocation: Message) -> list[int]:
    """The values that lie in an allocation."""
    return [each.integer(ASSIGNED_VALUE) for each in allocation.messages(ALLOCATION_ASSIGNED)]
