# Flow of the Heron chip.
# Run it with: quill -batch flow.tcl
set top chip

# Sets the minimum width of a layer, in µm.
#  layer: its name
proc set_min_width {layer width} {
  # inner remark
  set_layer_rule $layer -width $width
}

foreach layer {met1 met2} {
  set_min_width $layer 0.14
}

##############################################
# Constraints
##############################################
create_clock -name clk -period 10.0 [get_ports clk]
set_clock_uncertainty 0.2 [get_clocks clk]
set_false_path -from [get_ports rst_n] ;# asynchronous
set_input_delay 2.0 -clock clk \
    [remove_from_collection [all_inputs] [get_ports clk]]

namespace eval ::heron {
  variable version 2.1

  # Reads a deck and returns the number of its rules.
  proc read_deck { file {strict 1} args } {
    if {![file exists $file]} {
      error "HRN-3: no deck $file"
    }
    return [llength [split [read [open $file]] "\n"]]
  }
}

if { [info exists ::env(FAST)] } {
  set effort low
} else {
  set effort high
}

array set limits {
  met1 0.14
  met2 0.20
}

proc report_all {} {
  report_checks -path_delay max -format full_clock_expanded \
    -fields {slew cap input nets fanout}
  report_wns
}

# The end of the flow: writes what the foundry needs.
proc done {} { exit }
write_def "results/$top.def"
done
