# For CMake, 3.20 or later: find_package(buildplug), with -Dbuildplug_DIR=$(buildplug path cmake). Then
#
#	add_library(kernel OBJECT main.c ...)
#	buildplug_link(kernel [OUTPUT vmlinux] [CONFIG buildplug.toml] [ARCH x86_64]
#		[OPTIONS -T ${CMAKE_CURRENT_SOURCE_DIR}/kernel.lds ...])
#
# adds the code for the tables to the target `kernel`, and links OUTPUT from its objects.
find_program(BUILDPLUG buildplug REQUIRED)

function(buildplug_link target)
	cmake_parse_arguments(PARSE_ARGV 1 arg "" "OUTPUT;CONFIG;ARCH" "OPTIONS")
	if(NOT arg_OUTPUT)
		set(arg_OUTPUT vmlinux)
	endif()
	if(NOT arg_CONFIG)
		set(arg_CONFIG buildplug.toml)
	endif()
	get_filename_component(config ${arg_CONFIG} ABSOLUTE)
	set(folder ${CMAKE_CURRENT_BINARY_DIR}/${target}.gen)
	execute_process(
		COMMAND ${BUILDPLUG} runtime ${folder} --config ${config} --arch=${arg_ARCH} --depfile ${folder}.d
		OUTPUT_VARIABLE files OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY
	)
	# When an input of the generated files changes, CMake runs again; files that do not change are not touched.
	file(STRINGS ${folder}.d inputs REGEX ":$")
	list(TRANSFORM inputs REPLACE ":$" "")
	list(TRANSFORM inputs REPLACE "\\\\(.)" "\\1")
	set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${inputs})

	string(REPLACE "\n" ";" files "${files}")
	target_sources(${target} PRIVATE ${files})
	target_include_directories(${target} PRIVATE ${folder})
	set(output ${CMAKE_CURRENT_BINARY_DIR}/${arg_OUTPUT})
	add_custom_command(
		OUTPUT ${output}
		COMMAND ${BUILDPLUG} ld --config ${config} --arch=${arg_ARCH} --dependency-file=${output}.d ${arg_OPTIONS}
			$<TARGET_OBJECTS:${target}> -o ${output}
		DEPENDS $<TARGET_OBJECTS:${target}>
		DEPFILE ${output}.d
		COMMAND_EXPAND_LISTS VERBATIM
	)
	add_custom_target(${target}_${arg_OUTPUT} ALL DEPENDS ${output})
endfunction()
