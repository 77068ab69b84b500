"""Keys with which SAM 2's relatives change what a frame remembers. Where one is on, it is another tracker."""

CHANGES_WHAT_IS_REMEMBERED = frozenset(
    {
        # SAM 3
        "keep_first_cond_frame",
        "use_maskmem_tpos_v2",
        "use_memory_selection",
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
