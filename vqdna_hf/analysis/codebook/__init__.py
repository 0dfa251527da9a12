"""The codebook, seen (Figure 5 of the paper, with what that figure leaves open).

Which codes are used, which class each is relevant to and how sure that is, what bases a code stands for, and how codes
answer to a changed base and to the other strand.
"""
