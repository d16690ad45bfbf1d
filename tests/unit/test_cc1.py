"""What clang is told: cc1's arguments, what of them the user may change, and what nobody may."""

from __future__ import annotations

import shlex

import pytest

from stencilkit import cc1 as stage
from stencilkit.errors import DataError, FlagError
from stencilkit.model import cc1
from stencilkit.model.cc1 import Argument, Cpu
from stencilkit.support import resources

RULES = stage.rules_for("elf assembly")
# What clang 19's driver tells cc1 of CPython 3.14's flags, as -### prints it; {more} is where a flag would show.
CC1 = (
    '"/usr/bin/clang" "-cc1" "-triple" "x86_64-unknown-linux-gnu" "-O3" "-emit-obj" "-disable-free" '
    '"-main-file-name" "probe.c" "-mrelocation-model" "static" "-mframe-pointer=none" "-fmath-errno" "-target-cpu" '
    '"x86-64" "-tune-cpu" "generic" "-mcmodel=medium" "-resource-dir" "/r" "-D" "NDEBUG" "-I" "/t/Include" '
    '"-fno-builtin" "-vectorize-loops" {more} "-o" "probe.out" "-x" "c" "probe.c"'
)


def told(more: str = "", *, without: str = "") -> tuple[Argument, ...]:
    """Read what clang 19 tells cc1, with a few arguments more or less."""
    answer = CC1.format(more=" ".join(f'"{word}"' for word in shlex.split(more)))
    (words,) = cc1.commands(f"clang version 19.1.7\n (in-process)\n {answer}\n")
    return tuple(argument for argument in cc1.arguments(words, "probe.c", "probe.out") if str(argument) != without)


def test_options_are_paired_with_their_values_and_one_input_is_left_out() -> None:
    found = [str(argument) for argument in told("-target-feature -fmv -mllvm -x86-pad=1")]
    assert "-target-cpu x86-64" in found
    assert "-target-feature -fmv" in found
    assert "-mllvm -x86-pad=1" in found
    assert not [word for word in found if "probe" in word or word in ("-o", "-x", "-main-file-name")]


@pytest.mark.parametrize("answer", ['"clang" "-cc1" "-triple" "x86', '"clang" "x"-cc1""', '\'"-cc1"', ""])
def test_an_answer_that_is_cut_names_no_command(answer: str) -> None:
    assert cc1.commands(answer) == []


def test_of_a_feature_the_last_word_holds() -> None:
    found = told("-target-feature +avx2 -target-feature +fma -target-feature -avx2 -target-abi aapcs")
    assert cc1.cpu(found) == Cpu(name="x86-64", tune="generic", features=("-avx2", "+fma"), abi="aapcs")


@pytest.mark.parametrize(
    "more",
    [
        "",
        "-mframe-pointer=all -mframe-pointer=none",
        "-target-feature +avx512f -target-feature -avx512f",
        "-Wall -fcolor-diagnostics -I /elsewhere -isystem /usr/include/x",
        "-fwrapv -relaxed-aliasing -D X=1 -U NDEBUG -funroll-loops -target-feature +avx2",
        "-fcf-protection=full -fdata-sections -std=gnu17",
    ],
)
def test_what_is_harmless_recorded_or_cancelled_passes(more: str) -> None:
    stage.check_user(RULES, told(), told(more), "--what-the-user-says")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("-stack-protector 2", "canaries"),
        ("-fstack-clash-protection", "probes"),
        ("-fzero-call-used-regs=used-gpr", "zeroed registers"),
        ("-fsplit-stack", "start or the end"),
        ("-menable-no-nans", "floating point"),
        ("-fpack-struct=1", "layout"),
        ("-fshort-enums", "layout"),
        ("-target-feature +egpr", "APX"),
        ("-target-feature +retpoline-indirect-calls", "thunks"),
        ("-target-feature +reserve-x18", "registers"),
        ("-mrelocation-model pic", "addressed"),
        ("-fsanitize=address", "adds calls"),
        ("-fkeep-static-consts", "adds calls, padding, data"),
        ("-emit-llvm-bc", "something else than the object"),
        ("-load x.so", "plugin"),
        ("-mllvm -x86-pad-max-prefix-size=1", "internal switches"),
        ("-dependency-file x.d", "what a build writes"),
        ("-o elsewhere.o", "something else than the object"),
        ("-x c++", "something else than the object"),
        ("-debug-info-kind=constructor", "debug sections"),
        ("-ftrapv", "cannot resolve"),
        ("-funwind-tables=2", "wrong address"),
        ("-D _JIT_OPCODE=_NOP", "names the uop"),
        ("-U _JIT_OPCODE", "names the uop"),
        ("-U _Py_JIT", "defines this macro itself"),
        ("-D _PyJIT_ACTIVE=0", "defines this macro itself"),
        ("-U Py_BUILD_CORE_MODULE", "defines this macro itself"),
        ("-fnobody-knows-this=1", "nobody has looked at"),
    ],
)
def test_what_stencils_may_not_have_is_refused_with_the_reason(more: str, reason: str) -> None:
    with pytest.raises(FlagError, match=reason) as caught:
        stage.check_user(RULES, told(), told(more), "--what-the-user-says")
    assert caught.value.what.startswith("--what-the-user-says cannot be used")
    assert more in caught.value.what


def test_what_a_flag_takes_away_counts() -> None:
    with pytest.raises(FlagError, match="cannot resolve"):
        stage.check_user(RULES, told(), told(without="-fno-builtin"), "-fbuiltin")
    stage.check_user(RULES, told(), told(without="-vectorize-loops"), "-fno-vectorize")


@pytest.mark.parametrize(
    "flag",
    [
        *("-march=native", "-mtune=native", "-mcpu=native", "@flags", "--config=x.cfg", "-m32", "--target=x", "-arch"),
        *("-save-temps=obj", "-###", "-fno-integrated-as", "-S"),
    ],
)
def test_flags_that_the_driver_acts_on_are_refused(flag: str) -> None:
    with pytest.raises(FlagError) as caught:
        stage.check_words(RULES, ("-O3", flag))
    assert caught.value.what.startswith(f"{flag} cannot be used")


def test_no_flag_is_refused_for_its_spelling() -> None:
    stage.check_words(RULES, ("-opt-bisect-limit=1", "-g0", "-Mmodule", "-fPIC", "-O3", "-DX", "-load-x", "-emit-y"))


def test_macros_that_say_what_is_true_anyway_may_be_said_again() -> None:
    """CPython's configure puts -D_Py_JIT and -DPy_BUILD_CORE among its own flags, from where people copy them."""
    stage.check_user(RULES, told(), told("-D _Py_JIT -D Py_BUILD_CORE -D NDEBUG -D _JIT_OPCODES=1"), "-D_Py_JIT")


def test_what_a_wrapper_adds_or_leaves_out_is_listed() -> None:
    more = "-target-cpu x86-64-v4 -D HIDDEN -isystem /wrapped -Wextra -fstrange"
    assert stage.unasked(RULES, told(), told(more)) == ("-target-cpu x86-64-v4", "-D HIDDEN", "-fstrange")
    assert stage.unasked(RULES, told(), told(without="-O3")) == ("no -O3",)
    assert stage.unasked(RULES, told(), told("-isystem /wrapped -Wextra")) == ()
    with pytest.raises(FlagError, match="without being asked") as caught:
        stage.unasked(RULES, told(), told("-fstack-clash-protection"))
    assert "wrapper" in caught.value.where


def test_what_a_vendor_changes_is_listed() -> None:
    baseline = ("-target-cpu x86-64",)
    assert stage.vendors(RULES, told(), baseline) == ()
    assert stage.vendors(RULES, told("-target-feature +avx2"), baseline) == ("-target-feature +avx2",)
    assert stage.vendors(RULES, told(), ()) == ("-target-cpu x86-64",)
    with pytest.raises(FlagError, match="canaries"):
        stage.vendors(RULES, told("-stack-protector 2"), baseline)


ARM = ("+v8a", "+neon", "-fmv")


@pytest.mark.parametrize(
    ("name", "features", "flags", "beyond"),
    [
        ("generic", ("+neon", "+v8a", "-fmv"), "", ()),
        ("generic", ("+neon", "+sve"), "-O3", ("+sve",)),
        ("generic", ("+neon", "+sve"), "-march=armv9-a", ()),
        ("neoverse-n1", ("+neon",), "", ("neoverse-n1",)),
        ("neoverse-n1", ("+lse", "+neon"), "-mcpu=neoverse-n1+crypto", ()),
        ("neoverse-v1", (), "-mcpu=neoverse-n1", ("neoverse-v1",)),
        ("generic", ("+avx2", "-sse4.2"), "-mavx2 -mno-sse4.2", ()),
        ("generic", ("+avx512f",), "-mavx2", ("+avx512f",)),
    ],
)
def test_what_a_platform_and_its_flags_do_not_have(
    name: str, features: tuple[str, ...], flags: str, beyond: tuple[str, ...]
) -> None:
    needed = Cpu(name=name, tune="generic", features=features, abi="")
    assert cc1.beyond(needed, ("generic",), ARM, flags.split()) == beyond


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('effect = "harmless"', 'effect = "nice"', "must be one of harmless"),
        ('why = "diagnostics"', 'why = " "', "a reason"),
        ('why = "diagnostics"', 'why = "x"\nsurprise = 1', "unknown field"),
    ],
)
def test_a_table_with_a_mistake_is_refused(old: str, new: str, message: str) -> None:
    text = resources.text("cc1.toml")
    assert old in text
    with pytest.raises(DataError, match=message):
        stage.parse(text.replace(old, new, 1))


def test_debug_information_is_taken_where_objects_are_read_and_not_where_assembly_is() -> None:
    more = "-debug-info-kind=constructor -dwarf-version=5"
    for makes in ("elf object", "elf llvm-ir", "macho object", "macho llvm-ir"):
        stage.check_user(stage.rules_for(makes), told(), told(more), "-g")
    for makes in ("elf assembly", "macho assembly", "coff object", "coff llvm-ir", "coff assembly"):
        with pytest.raises(FlagError, match="debug sections"):
            stage.check_user(stage.rules_for(makes), told(), told(more), "-g")


@pytest.mark.parametrize("more", ["-ffunction-sections", "-record-command-line clang", "-Qn"])
def test_another_section_more_or_less_is_not_for_the_shim_that_make_links(more: str) -> None:
    stage.check_user(stage.rules_for("elf object"), told(), told(more), more)
    with pytest.raises(FlagError, match="shim"):
        stage.check_user(stage.rules_for("elf assembly"), told(), told(more), more)


def test_what_changes_the_bytes_of_an_object_is_recorded() -> None:
    """Without -faddrsig, 3.15's shim has one section less."""
    assert stage.unasked(RULES, (Argument("-faddrsig"),), ()) == ("no -faddrsig",)
    assert stage.vendors(RULES, (Argument("-faddrsig"),), ()) == ()
