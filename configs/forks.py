"""Keys with which SAM 2's relatives change what a frame remembers. Where one is on, it is another tracker."""

CHANGES_WHAT_IS_REMEMBERED = frozenset(
    {
        # SAM 3
        "use_maskmem_tpos_v2",
        # EdgeTAM
        "spatial_perceiver",
        # SAMURAI, SAMITE and what followed them
        "kf_mode",
        "rvcot_mem_selection",
        "rvcot_mode",
        "samite_mode",
        "samurai_mode",
        # SAM2Long
        "num_pathway",
        # SAM 2++
        "separate_memory_attention",
    }
)
