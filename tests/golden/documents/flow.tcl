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

proc done {} { exit }
