-- memcheck.lua -- the C tests that are left out under valgrind, and why.
return {
  -- A limit of descriptors hits valgrind's own reserve first: EBADF.
  "no_family_without_address_space_or_descriptors",
  "nothing_without_a_family", "no_descriptors_left_keeps_nobody_waiting",
  "a_parent_without_descriptors_looks", "without_descriptors",
  "a_descriptor_below_3_that_cannot_be_moved_is_closed",
  -- clone(CLONE_VM | CLONE_VFORK) is a plain fork there: the error of an exec
  -- stays in the child.
  "a_program_that_is_not_there", "tickets_that_are_none",
  -- Its handling of signals starves under a storm of them, or asserts.
  "storm_over_tiny_socket", "deadlines_hold_in_a_storm",
  "message_left_half_sent_ends_sending", "interrupted_calls_are_made_again",
  -- It asserts when a denied system call (SIGSYS) is one that it may restart.
  "a_listener_that_cannot_be_made_leaves_nothing", "errors_of_connecting",
  -- They bound times, or how fast the dead are found; without futex_waitv, and
  -- with one thread of a process running at a time, that takes longer.
  "a_dead_sleeper_is_passed_by", "the_lock_of_a_dead_notifier",
  "killed_at_random", "taken_from_the_dead_one_after_the_other",
  "a_member_that_calls_exec", "a_stopped_holder_keeps_it",
  "a_death_among_many", "a_guest", "the_last_one_s_names_go_at_exit",
  "a_block_in_a_message_outlives_its_name_processes",
  "threads_start_processes", "a_circle_is_noticed",
  -- Hundreds of forks, 40 ms each, a thousand handshakes, a million queues.
  "births_and_deaths_processes", "births_and_deaths_threads",
  "a_thousand_clients_at_once",
  "a_million_queues_leave_the_memory_where_it_was", "many_children_at_once",
  "thousand_starts_leave_nothing",
}
