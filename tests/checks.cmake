# SPDX-License-Identifier: MIT
# Checks of the sources, end-to-end tests with real programs, and what they stand on.
# The system's Python has the packages; another one may be first in PATH.
set(python /usr/bin/python3)
set(run_python ${python} ${CMAKE_CURRENT_SOURCE_DIR}/support/run_python.py)

function(add_python_test name label timeout)
    add_test(NAME ${name} COMMAND ${run_python} ${ARGN})
    set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT ${timeout}
        ENVIRONMENT "ZSWARM_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY};PYTHONDONTWRITEBYTECODE=1")
endfunction()

# The sources are the same under every sanitizer: they are checked once.
if(NOT ZSWARM_SANITIZE)
    foreach(check layering lengths banned texts vectors formatting)
        add_test(NAME tidy_${check} COMMAND ${python} -B ${CMAKE_CURRENT_SOURCE_DIR}/tidy/${check}.py)
        set_tests_properties(tidy_${check} PROPERTIES LABELS tidy TIMEOUT 120)
    endforeach()
    add_test(NAME tidy_purity COMMAND ${python} -B ${CMAKE_CURRENT_SOURCE_DIR}/tidy/purity.py
        $<TARGET_FILE:zswarm_messages> $<TARGET_FILE:zswarm_broker> $<TARGET_FILE:zswarm_node>)
    set_tests_properties(tidy_purity PROPERTIES LABELS tidy TIMEOUT 60)
    add_test(NAME tidy_clang COMMAND ${python} -B ${CMAKE_CURRENT_SOURCE_DIR}/tidy/clang_tidy.py ${CMAKE_BINARY_DIR})
    # First, for it is the longest, and beside the others, which mostly wait.
    set_tests_properties(tidy_clang PROPERTIES LABELS tidy TIMEOUT 1800 COST 10000)
    add_python_test(tidy_checks tidy 120 ${CMAKE_CURRENT_SOURCE_DIR}/tidy/tidy_test.py)
    add_python_test(support tidy 120 ${CMAKE_CURRENT_SOURCE_DIR}/support/support_test.py)
endif()

# ThreadSanitizer sees races in libzmq that it cannot judge, for the library is not instrumented.
if(NOT ZSWARM_SANITIZE STREQUAL "thread")
    file(GLOB end_to_end_tests CONFIGURE_DEPENDS e2e/*_test.py)
    foreach(test_source ${end_to_end_tests})
        get_filename_component(name ${test_source} NAME_WE)
        add_python_test(e2e_${name} e2e 1200 ${test_source}) # range_test took 476, with 35 processes waiting
        if(ZSWARM_SANITIZE)
            set_property(TEST e2e_${name} APPEND PROPERTY ENVIRONMENT "ZSWARM_SLOWNESS=3")
        endif()
    endforeach()
endif()

# The floor for tests/bench/search.
add_executable(bench_relay bench/relay.c)
target_link_libraries(bench_relay PRIVATE zswarm_flags PkgConfig::ZMQ)

# What tests/faults and power_loss_test.py preload.
add_library(disk_record MODULE faults/disk_record.c)
set_target_properties(disk_record PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
target_compile_definitions(disk_record PRIVATE _GNU_SOURCE)
target_compile_options(disk_record PRIVATE -Wall -Wextra)

# Preloaded by tests/e2e/held_disk_test.py: a disk that hangs.
add_library(held_calls MODULE support/held_calls.c)
set_target_properties(held_calls PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
target_compile_definitions(held_calls PRIVATE _GNU_SOURCE)
target_compile_options(held_calls PRIVATE -Wall -Wextra)
