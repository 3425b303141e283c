//! The one list of cases. The tests that [`suite!`](crate::suite) makes, the
//! listing and the table of broken backends all come from it, so none of them
//! can forget a case.

/// Calls a macro of this crate with every case:
/// `module::name [guarantees] needs [capabilities];`
#[doc(hidden)]
#[macro_export]
macro_rules! __each_case {
    ($then:ident $arguments:tt) => {
        $crate::$then! {
            $arguments
            transactions::t1_reader_keeps_its_snapshot_whatever_happens [T1 V5 V6] needs [];
            transactions::t1_open_range_goes_on_in_its_snapshot [T1] needs [];
            transactions::t1_many_readers_each_keep_their_own_snapshot [T1] needs [];
            transactions::t2_own_writes_are_read_by_key [T2] needs [];
            transactions::t2_own_writes_are_read_in_ranges_both_ways [T2] needs [];
            transactions::t2_key_deleted_and_put_again_is_present_once [T2] needs [];
            transactions::t3_uncommitted_writes_are_seen_by_nobody [T3] needs [];
            transactions::t3_commit_shows_whole_and_at_one_timestamp [T3 T6] needs [];
            transactions::t4_discard_leaves_no_trace [T4] needs [];
            transactions::t4_drop_leaves_no_trace [T4] needs [];
            transactions::t4_panic_leaves_no_trace [T4] needs [];
            transactions::t4_failed_commit_leaves_no_trace [T4] needs [];
            transactions::t5_commit_and_discard_consume_the_transaction [T5] needs [];
            transactions::t6_timestamps_grow_in_commit_order [T6 V6] needs [];
            transactions::t6_transaction_begun_after_a_commit_reads_at_or_above_it [T6] needs [];
            transactions::t7_empty_write_set_commits_without_timestamp_or_conflict [T7] needs [];
            transactions::t7_empty_write_set_does_no_io [T7] needs [Failing];
            transactions::t8_transactions_move_between_threads_and_outlive_the_handle [T8] needs [];

            isolation::i1_read_of_a_key_that_is_overwritten_conflicts [I1] needs [];
            isolation::i1_read_of_a_key_that_is_deleted_conflicts [I1] needs [];
            isolation::i1_range_that_gains_a_key_conflicts [I1] needs [];
            isolation::i1_range_that_loses_a_key_conflicts [I1] needs [];
            isolation::i1_write_of_a_key_that_is_written_conflicts [I1] needs [];
            isolation::i1_lost_update_is_refused [I1 I9] needs [];
            isolation::i1_write_skew_through_points_is_refused [I1 I9] needs [];
            isolation::i1_write_skew_through_ranges_is_refused [I1 I9] needs [];
            isolation::i1_commit_before_begin_is_no_conflict [I1] needs [];
            isolation::i1_conflicts_with_every_commit_since_begin [I1] needs [];
            isolation::i2_first_committer_wins [I2] needs [];
            isolation::i2_write_skew_is_possible [I2 I9] needs [];
            observed::i3_get_of_an_absent_key_is_a_read [I3] needs [];
            observed::i3_contains_is_a_read [I3] needs [];
            observed::i3_count_is_a_read [I3] needs [];
            observed::i3_first_is_a_read [I3] needs [];
            observed::i3_first_observes_the_gap_before_it [I3] needs [];
            observed::i3_last_is_a_read [I3] needs [];
            observed::i3_last_observes_the_gap_after_it [I3] needs [];
            observed::i3_is_empty_is_a_read [I3] needs [];
            observed::i3_empty_range_is_a_read [I3] needs [];
            observed::i3_empty_reverse_range_is_a_read [I3] needs [];
            observed::i3_range_dropped_half_way_is_a_read [I3] needs [];
            observed::i3_range_dropped_half_way_observes_its_last_key [I3] needs [];
            observed::i3_range_dropped_half_way_observes_its_gaps [I3] needs [];
            observed::i3_range_observes_its_tail [I3] needs [];
            observed::i3_reverse_range_is_a_read [I3] needs [];
            observed::i3_reverse_range_observes_its_gaps [I3] needs [];
            observed::i3_reverse_range_observes_above_its_first [I3] needs [];
            observed::i3_range_from_both_ends_observes_the_front [I3] needs [];
            observed::i3_range_from_both_ends_observes_the_back [I3] needs [];
            observed::i3_update_is_a_read [I3] needs [];
            observed::i3_delete_range_is_a_read [I3] needs [];
            observed::i3_range_of_tombstones_is_a_read [I3] needs [];
            observed::i3_range_over_own_deletes_is_a_read [I3] needs [];
            observed::i3_read_of_own_write_is_no_read [I3] needs [];
            observed::i4_disjoint_keys_both_commit [I4] needs [];
            observed::i4_neighbouring_keys_both_commit [I4] needs [];
            observed::i4_range_observes_nothing_outside [I4] needs [];
            observed::i4_part_of_a_range_observes_only_that_part [I4] needs [];
            observed::i4_part_of_a_reverse_range_observes_only_that_part [I4] needs [];
            observed::i4_middle_of_a_range_from_both_ends_is_not_observed [I4] needs [];
            observed::i4_range_never_advanced_observes_nothing [I4] needs [];
            observed::i4_inverted_range_observes_nothing [I4] needs [];
            observed::i4_first_in_one_corner_spares_the_other [I4] needs [];
            observed::i4_last_in_one_corner_spares_the_other [I4] needs [];
            observed::i4_write_into_a_range_read_by_the_winner_is_no_conflict [I4] needs [];
            observed::i4_interleaved_disjoint_writers_all_commit [I4] needs [];
            isolation::i5_blind_writers_never_conflict_and_the_later_wins [I5] needs [];
            isolation::i5_by_default_two_blind_writers_conflict [I5] needs [];
            isolation::i5_ignoring_write_conflicts_still_validates_reads [I5] needs [];
            isolation::i5_a_blind_write_beats_those_that_detect [I5] needs [];
            observed::i6_snapshot_reads_are_not_validated [I6] needs [];
            observed::i6_snapshot_reads_show_the_transaction [I6] needs [];
            observed::i6_key_declared_read_conflicts [I6] needs [];
            observed::i6_range_declared_read_conflicts [I6] needs [];
            observed::i6_key_declared_written_by_the_loser_conflicts [I6] needs [];
            observed::i6_range_declared_written_beats_a_reader [I6] needs [];
            observed::i6_range_declared_written_beats_an_observer [I6] needs [];
            observed::i6_range_declared_written_beats_a_writer [I6] needs [];
            observed::i6_two_that_declare_one_key_written_conflict [I6] needs [];
            observed::i6_get_for_update_conflicts_with_its_like [I6] needs [];
            observed::i6_declarations_spare_what_is_outside [I6] needs [];
            observed::i6_declaring_changes_no_contents [I6] needs [];
            isolation::i7_read_transaction_never_conflicts_nor_disturbs [I7] needs [];
            isolation::i7_reading_goes_on_while_a_transaction_runs_alone [I7 I8] needs [];
            isolation::i8_conflict_says_which_key_and_who_won [I8] needs [];
            isolation::i8_retry_starts_from_the_winner [I8] needs [];
            isolation::i8_retry_is_bounded [I8] needs [];
            isolation::i8_error_of_the_closure_discards_and_is_returned [I8] needs [];
            isolation::i8_transaction_that_runs_alone_cannot_lose [I8] needs [];

            hermitage::i9_g0_no_write_cycles [I9] needs [];
            hermitage::i9_g1a_no_aborted_reads [I9] needs [];
            hermitage::i9_g1b_no_intermediate_reads [I9] needs [];
            hermitage::i9_g1c_no_circular_information_flow [I9] needs [];
            hermitage::i9_otv_no_observed_transaction_vanishes [I9] needs [];
            hermitage::i9_pmp_no_predicate_many_preceders [I9] needs [];
            hermitage::i9_pmp_no_write_predicate_many_preceders [I9] needs [];
            hermitage::i9_p4_no_lost_updates [I9] needs [];
            hermitage::i9_g_single_no_read_skew [I9] needs [];
            hermitage::i9_g_single_no_read_skew_through_predicates [I9] needs [];
            hermitage::i9_g_single_no_read_skew_through_writes [I9] needs [];
            hermitage::i9_no_long_fork [I9] needs [];
            predicates::i9_g0_no_write_cycles_through_ranges [I9] needs [];
            predicates::i9_g1a_no_aborted_reads_through_ranges [I9] needs [];
            predicates::i9_g1b_no_intermediate_reads_through_ranges [I9] needs [];
            predicates::i9_g1c_no_circular_information_flow_through_ranges [I9] needs [];
            predicates::i9_otv_no_observed_transaction_vanishes_from_ranges [I9] needs [];
            predicates::i9_pmp_no_predicate_many_preceders_for_readers [I9] needs [];
            predicates::i9_p4_no_lost_updates_at_the_ends_of_ranges [I9] needs [];
            predicates::i9_g_single_no_read_skew_between_ranges [I9] needs [];
            skews::i9_g2_item_write_skew_is_for_snapshot_alone [I1 I2 I9] needs [];
            skews::i9_g2_item_skew_through_absent_keys_is_for_snapshot_alone [I1 I2 I9] needs [];
            skews::i9_g2_item_skew_through_deletes_is_for_snapshot_alone [I1 I2 I9] needs [];
            skews::i9_g2_phantom_write_skew_is_for_snapshot_alone [I1 I2 I9] needs [];
            skews::i9_g2_phantom_write_skew_in_reverse_is_for_snapshot_alone [I1 I2 I9] needs [];
            skews::i9_g2_skew_between_a_range_and_a_key_is_for_snapshot_alone [I1 I2 I9] needs [];
            skews::i9_read_only_anomaly_is_for_snapshot_alone [I1 I2 I9] needs [];
            skews::i9_read_only_anomaly_through_ranges_is_for_snapshot_alone [I1 I2 I9] needs [];
            skews::i9_as_of_reads_are_stable [I9 V3] needs [];
            skews::i9_bringing_the_past_back_is_a_write [I9 V6] needs [];

            keys::k1_any_bytes_are_a_key_in_bytewise_order [K1] needs [];
            keys::k1_longest_key_and_one_byte_key [K1] needs [];
            keys::k1_empty_value_is_a_value [K1] needs [];
            keys::k1_mutating_a_buffer_after_put_changes_nothing [K1] needs [];
            keys::k2_ranges_with_all_bounds_from_both_ends [K2] needs [];
            keys::k2_ranges_over_own_writes_with_all_bounds_from_both_ends [K2] needs [];
            keys::k2_ranges_over_history_with_all_bounds [K2] needs [];
            keys::k2_a_thousand_keys_in_order_both_ways [K2] needs [];
            keys::k3_inverted_and_empty_bounds_yield_nothing [K3] needs [];
            keys::k3_prefixes_that_end_in_0xff_are_right [K3] needs [];
            keys::k4_range_that_erred_never_resumes [K4 L2] needs [];
            keys::k5_deleting_an_absent_key_is_a_write [K5 I1] needs [];

            versions::v1_numbers_count_up_from_one [V1] needs [];
            versions::v1_gaps_are_allowed_above_the_last [V1] needs [];
            versions::v1_numbers_at_or_below_the_last_are_refused [V1] needs [];
            versions::v1_highest_number_can_be_saved_and_nothing_after_it [V1] needs [];
            versions::v1_saving_changes_no_contents [V1] needs [];
            versions::v1_number_comes_again_and_its_timestamp_never [V1 V6] needs [];
            versions::v2_saving_with_an_open_writer_is_refused [V2] needs [];
            versions::v2_open_readers_do_not_matter [V2 I7] needs [];
            versions::v2_saving_with_open_writers_by_option [V2] needs [];
            versions::v3_version_is_the_state_at_its_save_for_ever [V3] needs [];
            versions::v3_point_reads_and_ranges_of_a_version_agree [V3] needs [];
            versions::v3_unknown_deleted_and_zero_are_not_found [V3] needs [];
            versions::v4_version_set_does_not_change_after_it_was_taken [V4] needs [];
            versions::v4_version_set_answers_in_full [V4] needs [];
            versions::v5_deleting_one_version_spares_the_others [V5] needs [];
            versions::v5_deleting_the_first_or_the_last_spares_the_others [V5] needs [];
            versions::v5_deleting_an_unknown_version_is_refused [V5] needs [];
            versions::v5_deleting_versions_does_not_wait_for_writers [V5] needs [];
            versions::v5_retention_rule_says_what_it_removed [V5] needs [];
            past::v6_revert_makes_the_head_the_last_version [V6] needs [];
            past::v6_revert_without_versions_empties_the_head [V6] needs [];
            past::v6_revert_to_removes_the_versions_above [V6] needs [];
            past::v6_revert_to_an_unknown_version_is_refused [V6] needs [];
            past::v6_revert_with_an_open_writer_is_refused [V6] needs [];
            past::v6_restore_copies_a_range_as_an_ordinary_commit [V6] needs [];
            past::v6_restore_is_a_write_for_conflicts [V6 I1] needs [];
            past::v7_diff_yields_each_key_that_differs_with_both_values [V7] needs [];
            past::v7_diff_leaves_out_what_came_back [V7] needs [];
            past::v7_diff_stands_whatever_is_committed_meanwhile [V7] needs [];
            versions::v8_metadata_comes_back_as_given [V8] needs [];
            past::v9_prune_removes_what_nobody_can_see [V9] needs [];
            past::v9_prune_spares_what_somebody_can_see [V9 T1 V3] needs [];

            durability::d1_acknowledged_commits_are_there_after_reopening [D1] needs [Durable];
            durability::d1_dropping_every_handle_keeps_what_was_acknowledged [D1] needs [Durable];
            durability::d1_sync_succeeds_and_changes_nothing [D1] needs [];
            durability::d2_reopening_tears_no_commit [D2 T4] needs [Durable];
            durability::d3_write_that_failed_for_certain_is_not_there [D3] needs [Failing];
            durability::d3_write_of_unknown_outcome_poisons [D3] needs [Failing];
            durability::d3_failed_fsync_is_never_a_success [D3] needs [Failing];
            durability::d3_poisoned_database_is_well_after_reopening [D3] needs [Failing Durable];
            durability::d4_verify_finds_a_sound_database_sound [D4] needs [];
            durability::d5_opening_twice_is_refused [D5] needs [Exclusive];
            durability::d6_head_versions_and_metadata_come_back [D6] needs [Durable];
            durability::d6_timestamps_and_numbers_go_on_above [D6] needs [Durable];
            durability::d6_empty_database_comes_back_empty [D6] needs [Durable];

            limits::l1_keys_and_values_out_of_their_limits_are_invalid [L1] needs [];
            limits::l1_transaction_that_grows_too_large_is_invalid [L1] needs [];
            limits::l1_metadata_over_its_limit_is_invalid [L1] needs [];
            limits::l2_after_close_every_call_answers_closed [L2 T8] needs [];
            limits::l2_watchers_end_when_it_closes [L2] needs [Watch];
            limits::l2_nothing_hangs_when_it_closes_under_load [L2] needs [];
            limits::l3_no_input_panics [L3] needs [];
            limits::l4_conflict_tracking_is_released_with_the_oldest_writer [L4] needs [];
            limits::l4_forgotten_reader_costs_no_conflict_tracking [L4 I7] needs [];

            changes::c1_changes_yield_the_commits_with_their_writes [C1] needs [History];
            changes::c1_pruned_history_is_refused_never_partial [C1] needs [History];
            changes::c1_without_history_changes_are_refused [C1] needs [];
            changes::c1_open_changes_go_on_whatever_is_pruned [C1] needs [History];
            changes::c1_history_is_there_after_reopening [C1 D6] needs [History Durable];
            changes::v3_any_kept_timestamp_can_be_read [V3 C1] needs [History];
            changes::v3_timestamps_of_versions_and_the_head_can_be_read [V3] needs [];
            changes::c2_watcher_is_woken_by_every_commit_in_its_range [C2] needs [Watch];
            changes::c2_watcher_is_never_woken_before_the_commit_is_visible [C2] needs [Watch];
            changes::c2_dropped_watcher_and_open_transactions_wake_nobody [C2] needs [Watch];

            threads::i1_bank_transfers_keep_the_sum [I1 T3 I8] needs [];
            threads::i8_counters_lose_no_update_and_everyone_gets_through [I8] needs [];
            threads::i8_long_transaction_gets_through_among_short_ones [I8] needs [];
            threads::i4_disjoint_threads_never_conflict [I4] needs [];
            threads::t1_readers_see_consistent_states_while_writers_commit [T1 T3 V9] needs [];
            threads::t6_timestamps_are_unique_among_threads [T6] needs [];
            threads::v3_versions_saved_among_writers_never_change [V3 V2] needs [];

            scale::i4_many_disjoint_keys_never_conflict [I4] needs [];
            scale::k1_long_values_come_back_whole [K1] needs [];

            model::i1_random_histories_agree_with_the_model [T1 T2 T3 T4 T6 T7 I1 I2 I3 I4 I5 I6 K1 K2 K3 K5 V1 V2 V3 V5 V6 V7 V8 V9] needs [];
            model::c1_random_histories_with_history_agree_with_the_model [C1 V3 V7 V9] needs [History];
            model::d6_random_histories_with_reopening_agree_with_the_model [D1 D2 D6 V3] needs [Durable History];

            worlds::i1_orders_of_two_transactions_are_right [I1 I4 I9 T1 T2 T6] needs [];
            worlds::i1_orders_of_three_and_four_are_right [I1 I3 I4 I9] needs [];
            worlds::i2_orders_at_every_isolation_are_right [I1 I2 I3 I4 I5 I6 T4 T7] needs [];
            worlds::i2_skews_happen_under_snapshot_and_are_refused_else [I1 I2 I9] needs [];
            worlds::v2_orders_with_versions_are_right [V1 V2 V3 V5 V6] needs [];

            scripts::script_quickstart [T2 T3] needs [];
            scripts::script_write_skew [I1 I2 I9] needs [];
            scripts::script_lost_update [I1 I9] needs [];
            scripts::script_phantom [I1 I3] needs [];
            scripts::script_time_travel [V3] needs [];
            scripts::script_revert [V6] needs [];
            scripts::script_restore [V6] needs [];
            scripts::script_diff [V7] needs [];
            scripts::script_delete_version [V5] needs [];
            scripts::script_empty_values [K1] needs [];
            scripts::script_prefix_0xff [K3] needs [];
            scripts::script_reverse_ranges [K2] needs [];
            scripts::script_conflicts_explained [I8] needs [];
            scripts::script_changes [C1] needs [History];
            scripts::script_bank [I1 I8] needs [];
            scripts::script_declared_ranges [I6] needs [];
        }
    };
}

/// One `#[test]` for each case.
#[doc(hidden)]
#[macro_export]
macro_rules! __case_tests {
    (($factory:expr) $($module:ident::$name:ident [$($guarantee:ident)*] needs [$($need:ident)*];)*) => {
        $(
            #[test]
            fn $name() {
                $crate::run_test(stringify!($name), $factory);
            }
        )*
    };
}

/// The list as values.
#[doc(hidden)]
#[macro_export]
macro_rules! __case_values {
    (($Context:ty) $($module:ident::$name:ident [$($guarantee:ident)*] needs [$($need:ident)*];)*) => {
        vec![$(
            $crate::Case {
                name: stringify!($name),
                module: stringify!($module),
                guarantees: &[$(stringify!($guarantee)),*],
                needs: &[$($crate::Need::$need),*],
                run: $module::$name,
            }
        ),*]
    };
}

/// Calls a macro of this crate with every case of the store suite.
#[doc(hidden)]
#[macro_export]
macro_rules! __each_store_case {
    ($then:ident $arguments:tt) => {
        $crate::$then! {
            $arguments
            store::d6_new_store_is_empty [D6] needs [];
            store::t3_group_shows_once_it_is_published [T3] needs [];
            store::t6_group_is_applied_in_order [T6] needs [];
            store::t1_snapshot_never_changes [T1] needs [];
            store::k2_ranges_are_right_from_both_ends [K2] needs [];
            store::k1_extreme_keys_and_values_come_back [K1] needs [];
            store::v3_preserved_records_stay_readable [V3] needs [];
            store::v9_prune_spares_the_retained_whatever_it_is [V9] needs [];
            store::v9_prune_drops_what_is_dead [V9] needs [];
            store::v7_touched_names_every_key_written_between [V7] needs [];
            store::c1_changes_yield_the_logged_commits [C1] needs [History];
            store::v3_what_is_known_of_the_previous_record_is_only_a_hint [V3] needs [];
            store::d2_catalog_comes_back_with_its_commit [D2] needs [Durable];
            store::d6_records_come_back [D6] needs [Durable];
            store::d4_sound_store_is_found_sound [D4] needs [];
            store::l2_closing_twice_is_fine [L2] needs [];
        }
    };
}

/// One `#[test]` for each case of the store suite.
#[doc(hidden)]
#[macro_export]
macro_rules! __store_case_tests {
    (($factory:expr) $($module:ident::$name:ident [$($guarantee:ident)*] needs [$($need:ident)*];)*) => {
        $(
            #[test]
            fn $name() {
                $crate::run_store_test(stringify!($name), $factory);
            }
        )*
    };
}
