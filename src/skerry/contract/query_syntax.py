"""The grammar of the query language: text in, a frozen query out (contract.md §7)."""

from __future__ import annotations

from skerry.contract.query_expression import (
    Aggregate,
    Arithmetic,
    ArrayContains,
    Collection,
    Column,
    Comparison,
    Expression,
    Literal,
    Logic,
    Membership,
    Negative,
    Not,
    Path,
    Query,
    Scalar,
    TextTest,
    Type,
    TypeTest,
)
from skerry.contract.query_names import COLUMNS_MAX, named
from skerry.contract.query_tokens import KEYWORDS, Cursor, Kind, Token

# Brackets, NOTs and signs inside each other; each costs parser and evaluators a few frames.
# SQLite's own parser stops at a hundred open symbols, of which a level costs up to five.
NESTING_MAX = 10
# Arithmetic operators: the tree of a + b + c is as deep as it is long; % nests in SQL as well.
OPERATORS_MAX = 100
REMAINDERS_MAX = 4
# ANDs and ORs; SQLite bounds the depth of an expression, a chain included, by 1000.
CONDITIONS_MAX = 500
PATH_STEPS_MAX = 32
LIST_VALUES_MAX = 1000
TOP_MAX = 1_000_000
INDEX_DIGITS_MAX = 9

COMPARISONS = {"=": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
AGGREGATES = ("COUNT", "AVG", "SUM", "MIN", "MAX")
TEXT_TESTS = ("STARTSWITH", "ENDSWITH", "CONTAINS")
TYPE_TESTS = {test.value: test for test in Type}
CONSTANTS: dict[str, Scalar] = {"TRUE": True, "FALSE": False, "NULL": None}
# ``c`` is what Microsoft's own examples call a document.
DOCUMENT_NAMES = frozenset({"devices", "c"})


def parse_query(text: str) -> Query:
    """The query in ``text``; QuerySyntaxError names the 0-based position and what was expected there."""
    return _Parser(text).query()


def parse_condition(text: str) -> Expression:
    """What may stand after WHERE, on its own; QuerySyntaxError as ``parse_query``."""
    return _Parser(text).whole_condition()


def parse_source(text: str) -> Query:
    """The query behind ``FROM … [WHERE …]``; QuerySyntaxError as ``parse_query``."""
    return _Parser(text).source()


class _Parser(Cursor):
    """Recursive descent over tokens; operators from loosest to tightest are methods calling each other."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nesting = 0
        self._operators = 0
        self._conditions = 0
        self._remainders = 0
        self._names = DOCUMENT_NAMES

    def query(self) -> Query:
        self._expect_word("SELECT")
        top = self._top() if self._word("TOP") else None
        columns_at = self._at
        self._skip_to("FROM")
        collection = self._collection()
        after_from, self._at = self._at, columns_at
        # The alias of a document stands behind FROM, its uses before.
        projections = self._projections()
        self._at = after_from
        condition = self._condition() if self._word("WHERE") else None
        groups = self._groups() if self._word("GROUP") else ()
        self._expect_end("WHERE, GROUP BY or the end of the query")
        self._check_grouped(projections, groups, columns_at)
        return Query(collection, projections, condition, groups, top)

    def source(self) -> Query:
        self._expect_word("FROM")
        collection = self._collection()
        condition = self._condition() if self._word("WHERE") else None
        self._expect_end("WHERE or the end of the condition")
        return Query(collection, condition=condition)

    def whole_condition(self) -> Expression:
        condition = self._condition()
        self._expect_end("an operator or the end of the condition")
        return condition

    # --- clauses ------------------------------------------------------------------------------------

    def _top(self) -> int:
        bracket = self._mark("(")
        token = self._here
        if token.kind is not Kind.NUMBER or not token.value.isdigit() or len(token.value) > INDEX_DIGITS_MAX:
            self._fail("a whole number")
        if not 1 <= int(token.value) <= TOP_MAX:
            self._fail(f"a number from 1 to {TOP_MAX}")
        self._at += 1
        if bracket:
            self._expect_mark(")")
        return int(token.value)

    def _skip_to(self, word: str) -> None:
        start = self._at
        while not self._is_word(word):
            if self._here.kind is Kind.END:
                self._at = start
                # What stands there tells more than a missing FROM.
                self._projections()
                self._fail(word)
            self._at += 1
        self._at += 1

    def _collection(self) -> Collection:
        start = self._here
        name = self._name("devices, devices.modules or devices.jobs").lower()
        while self._mark("."):
            name += "." + self._name("modules or jobs").lower()
        collection = next((c for c in Collection if c.value == name), None)
        if collection is None:
            self._fail("devices, devices.modules or devices.jobs", start)
        if self._word("AS") or (self._here.kind is Kind.NAME and self._here.value.upper() not in KEYWORDS):
            self._names = DOCUMENT_NAMES | {self._name("an alias")}
        return collection

    def _projections(self) -> tuple[Column | Aggregate, ...]:
        if self._mark("*"):
            if not self._is_word("FROM"):
                self._fail("FROM")
            return ()
        found: list[tuple[str | None, str | None, Path | None]] = []
        while True:
            if len(found) >= COLUMNS_MAX:
                self._fail(f"at most {COLUMNS_MAX} columns")
            found.append(self._projection({alias for alias, _, _ in found if alias}))
            if not self._mark(","):
                break
        if not self._is_word("FROM"):
            self._fail("',' AS or FROM")
        return named(found)

    def _projection(self, aliases: set[str]) -> tuple[str | None, str | None, Path | None]:
        """Alias, aggregate function, path."""
        function = self._here.value.upper()
        if function in AGGREGATES and self._next.value == "(" and self._next.kind is Kind.MARK:
            self._at += 2
            path = None if function == "COUNT" else self._path()
            self._expect_mark(")")
            return self._alias(aliases), function, path
        path = self._path()
        return self._alias(aliases), None, path

    def _alias(self, taken: set[str]) -> str | None:
        if not self._word("AS"):
            return None
        token = self._here
        alias = token.value if token.kind is Kind.TEXT else self._name("an alias")
        self._at += token.kind is Kind.TEXT
        return alias if alias not in taken else self._fail("an alias that is not taken", token)

    def _groups(self) -> tuple[Path, ...]:
        self._expect_word("BY")
        found = [self._path()]
        while self._mark(","):
            if len(found) >= COLUMNS_MAX:
                self._fail(f"at most {COLUMNS_MAX} paths")
            found.append(self._path())
        return tuple(found)

    def _check_grouped(
        self, projections: tuple[Column | Aggregate, ...], groups: tuple[Path, ...], at: int
    ) -> None:
        counted = groups or any(isinstance(p, Aggregate) for p in projections)
        if not counted:
            return
        loose = [p for p in projections if isinstance(p, Column) and p.path not in groups]
        if loose or not projections:
            self._fail("only aggregates and the paths of GROUP BY", self._tokens[at])

    # --- conditions ---------------------------------------------------------------------------------

    def _condition(self) -> Expression:
        return self._chain("OR")

    def _chain(self, operator: str) -> Expression:
        """Operands joined by OR, or by AND; the chain becomes one node."""
        operands = [self._operand_of(operator)]
        while self._word(operator):
            self._conditions += 1
            if self._conditions > CONDITIONS_MAX:
                self._fail(f"at most {CONDITIONS_MAX} conditions")
            operands.append(self._operand_of(operator))
        return operands[0] if len(operands) == 1 else Logic(operator, tuple(operands))

    def _operand_of(self, operator: str) -> Expression:
        return self._chain("AND") if operator == "OR" else self._negation()

    def _negation(self) -> Expression:
        if not self._word("NOT"):
            return self._comparison()
        self._deeper()
        operand = self._negation()
        self._nesting -= 1
        return Not(operand)

    def _comparison(self) -> Expression:
        left = self._sum()
        token = self._here
        if token.kind is Kind.MARK and token.value in COMPARISONS:
            self._at += 1
            return Comparison(COMPARISONS[token.value], left, self._sum())
        if self._word("IN"):
            return Membership(left, self._list())
        if self._word("NIN"):
            return Not(Membership(left, self._list()))
        if self._is_word("NOT") and self._next.kind is Kind.NAME and self._next.value.upper() == "IN":
            self._at += 2
            return Not(Membership(left, self._list()))
        return left

    def _list(self) -> tuple[Scalar, ...]:
        closing = "]" if self._mark("[") else ")"
        if closing == ")":
            self._expect_mark("(", "a list such as ['a', 'b']")
        values: list[Scalar] = []
        if self._mark(closing):
            return ()
        while True:
            if len(values) >= LIST_VALUES_MAX:
                self._fail(f"at most {LIST_VALUES_MAX} values")
            values.append(self._constant())
            if not self._mark(","):
                break
        self._expect_mark(closing)
        return tuple(values)

    # --- values -------------------------------------------------------------------------------------

    def _sum(self) -> Expression:
        left = self._product()
        while (operator := self._here.value) in ("+", "-") and self._here.kind is Kind.MARK:
            self._counted()
            self._at += 1
            left = Arithmetic(operator, left, self._product())
        return left

    def _product(self) -> Expression:
        left = self._signed()
        while (operator := self._here.value) in ("*", "/", "%") and self._here.kind is Kind.MARK:
            self._counted()
            if operator == "%":
                self._remainders += 1
                if self._remainders > REMAINDERS_MAX:
                    self._fail(f"at most {REMAINDERS_MAX} remainders")
            self._at += 1
            left = Arithmetic(operator, left, self._signed())
        return left

    def _signed(self) -> Expression:
        if self._mark("-"):
            self._deeper()
            operand = self._signed()
            self._nesting -= 1
            if isinstance(operand, Literal) and _is_number(operand.value):
                return Literal(_negated(operand.value))
            return Negative(operand)
        return self._primary()

    def _primary(self) -> Expression:
        token = self._here
        if self._mark("("):
            self._deeper()
            inner = self._condition()
            self._expect_mark(")")
            self._nesting -= 1
            return inner
        if token.kind in (Kind.NUMBER, Kind.TEXT):
            return Literal(self._constant())
        word = token.value.upper()
        if token.kind is Kind.NAME and word in CONSTANTS:
            return Literal(self._constant())
        if token.kind is Kind.NAME and self._next == Token(Kind.MARK, "(", self._next.position):
            return self._call(word)
        return self._path()

    def _call(self, word: str) -> Expression:
        if word not in TYPE_TESTS and word not in TEXT_TESTS and word != "ARRAY_CONTAINS":
            self._fail(f"one of {', '.join([*TYPE_TESTS, *TEXT_TESTS, 'ARRAY_CONTAINS'])}")
        self._at += 2
        path = self._path()
        call: Expression
        if word in TYPE_TESTS:
            call = TypeTest(TYPE_TESTS[word], path)
        else:
            self._expect_mark(",")
            start = self._here
            value = self._constant()
            if word == "ARRAY_CONTAINS":
                call = ArrayContains(path, value)
            elif isinstance(value, str):
                call = TextTest(word, path, value)
            else:
                self._fail("a string", start)
        self._expect_mark(")")
        return call

    def _constant(self) -> Scalar:
        token = self._here
        self._at += 1
        if token.kind is Kind.TEXT:
            return token.value
        if token.kind is Kind.NAME and token.value.upper() in CONSTANTS:
            return CONSTANTS[token.value.upper()]
        if token.kind is Kind.MARK and token.value == "-" and self._here.kind is Kind.NUMBER:
            return _negated(self._constant())
        if token.kind is Kind.NUMBER:
            return self._number(token)
        return self._fail("a string, a number, true, false or null", token)

    def _number(self, token: Token) -> int | float:
        number = float(token.value)
        if number == float("inf"):
            self._fail("a number within range", token)
        # Beyond 2^53 a double, as every peer reads JSON, has no unit digits.
        return int(token.value) if token.value.isdigit() and abs(number) < 2**53 else number

    def _path(self) -> Path:
        start = self._here
        if start.kind is Kind.NAME and start.value.upper() in KEYWORDS:
            self._fail("a path or a value")
        steps: list[str | int] = [self._step("a path or a value")]
        while True:
            if self._mark(".") or self._here.kind is Kind.BRACKETED:
                steps.append(self._step("a name"))
            elif self._mark("["):
                steps.append(self._index())
                self._expect_mark("]")
            else:
                break
            if len(steps) > PATH_STEPS_MAX:
                self._fail(f"at most {PATH_STEPS_MAX} steps")
        return Path(tuple(steps[1:] if steps[0] in self._names and len(steps) > 1 else steps))

    def _step(self, expected: str) -> str:
        token = self._here
        if token.kind not in (Kind.NAME, Kind.BRACKETED):
            self._fail(expected)
        self._at += 1
        return token.value

    def _index(self) -> str | int:
        token = self._here
        if token.kind is Kind.NUMBER and token.value.isdigit() and len(token.value) <= INDEX_DIGITS_MAX:
            self._at += 1
            return int(token.value)
        if token.kind is Kind.TEXT and token.value and token.value.isprintable() and '"' not in token.value:
            if "\\" in token.value:
                self._fail("a name without backslashes")
            self._at += 1
            return token.value
        return self._fail("an index or a quoted name")

    def _deeper(self) -> None:
        self._nesting += 1
        if self._nesting > NESTING_MAX:
            self._fail(f"at most {NESTING_MAX} levels of nesting")

    def _counted(self) -> None:
        self._operators += 1
        if self._operators > OPERATORS_MAX:
            self._fail(f"at most {OPERATORS_MAX} operators")


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _negated(value: Scalar) -> Scalar:
    return -value if isinstance(value, int | float) else value
