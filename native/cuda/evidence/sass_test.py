"""Tests of sass.py on listings made up for them; `make cuda-budget` runs them first."""

import collections
import unittest

import sass


def kernel(*lines):
    """Of instructions that stand 16 bytes apart, as cuobjdump prints them."""
    listing = ["\t\tFunction : made_up"] + [f"        /*{16 * i:04x}*/                   {line} ;" for i, line in enumerate(lines)]
    return sass.kernel_of(sass.parsed(listing)["made_up"])


class CheapestPass(unittest.TestCase):
    def test_goes_round_what_is_not_work(self):
        k = kernel("MOV R1, c[0x0][0x28]",
                   "ISETP.NE.AND P0, PT, R2, RZ, PT",       # the main loop: are rows aligned?
                   "@P0 BRA 0x60",
                   "LDG.E.U16 R4, desc[UR4][R2.64]",        # no: element by element
                   "STS.U16 [R8], R4",
                   "BRA 0x70",
                   "LDGSTS.E.BYPASS.128 [R8], [R2.64]",     # yes
                   "LDSM.16.M88.4 R4, [R9]",
                   "HMMA.16816.F32.BF16 R12, R4, R8, R12",  # an inner loop
                   "@P1 BRA 0x80",
                   "BRA.U UP0, 0xc0",                       # is there anything to mask?
                   "FSEL R12, R12, -INF , P2",
                   "@P3 BRA 0x10",
                   "EXIT",
                   "BRA 0xe0")
        self.assertEqual((k.first, k.last), (1, 12))
        self.assertEqual(k.loop["ldg"], 1)
        way, inner = sass.cheapest_pass(k)
        self.assertEqual(way, collections.Counter({"integer": 1, "branch": 4, "cp.async": 1, "ldmatrix": 1, "mma": 1}))
        self.assertEqual(inner, collections.Counter({"mma": 1, "branch": 1}))

    def test_meets_every_load_where_there_is_no_loop(self):
        way, inner = sass.cheapest_pass(kernel(
            "ISETP.GE.AND P0, PT, R0, R2, PT", "@P0 BRA 0x40", "LDG.E R4, desc[UR4][R2.64]", "STG.E desc[UR4][R6.64], R4",
            "@P1 BRA 0x80", "LDG.E R5, desc[UR4][R2.64]", "MUFU.EX2 R5, R5", "STG.E desc[UR4][R6.64], R5", "EXIT", "BRA 0x90"))
        self.assertEqual(way, collections.Counter({"integer": 1, "branch": 3, "ldg": 2, "stg": 2, "convert": 1}))
        self.assertFalse(inner)

    def test_takes_the_first_of_two_branches(self):
        way, _ = sass.cheapest_pass(kernel(
            "@P0 BRA 0x30", "HMMA.16816.F32.BF16 R12, R4, R8, R12", "BRA 0x50", "HMMA.16816.F32.BF16 R12, R4, R8, R12",
            "HMMA.16816.F32.BF16 R16, R4, R8, R16", "@P1 BRA 0x0", "EXIT"))
        self.assertEqual(way, collections.Counter({"mma": 1, "branch": 3}))


unittest.main(verbosity=0)
