"""Proofs without bound: what holds for a component whatever happens around it.

A new component joins with a :class:`~systolith.proofs.proof.Proof` in
:data:`systolith.proofs.registry.PROOFS`: a harness (:mod:`systolith.proofs.harness`) that says what
must hold, and breaks, changes of its Verilog with which the proof must fail.
"""
