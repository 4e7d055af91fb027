# SPDX-License-Identifier: MIT
# Runs when the project is installed; CMakeLists.txt sets `here`, `build`, `binaries` and `data`.
set(CMAKE_INSTALL_BINDIR ${binaries})
foreach(unit system/zbroker.service user/znode@.service)
    get_filename_component(name ${unit} NAME)
    get_filename_component(kind ${unit} DIRECTORY)
    configure_file(${here}/${name}.in ${build}/${name} @ONLY)
    file(INSTALL ${build}/${name} DESTINATION ${CMAKE_INSTALL_PREFIX}/lib/systemd/${kind})
endforeach()

if(CMAKE_INSTALL_PREFIX STREQUAL "/usr" AND EXISTS /etc/debian_version)
    set(folder vendor-completions)
else()
    set(folder site-functions)
endif()
file(INSTALL ${here}/_zswarm DESTINATION ${CMAKE_INSTALL_PREFIX}/${data}/zsh/${folder})
