// Counters of the DMA engine.
`timescale 1ns/1ps

// Counts beats of a burst.
module beat_counter #(parameter N = 4) (
  input clk,
  input [N-1:0] load,  // start value
  output reg \bus[0].ack ,
  output done
);
`pragma protect begin_protected
`pragma protect key_keyname = "demo-2026"
`pragma protect key_block
c3VyZWx5IG5vdCBhIHJlYWwga2V5
`pragma protect data_block
AAECAwQFBgcICQoLDA0ODxAREhMU
MDEyMzQ1Njc4OTo7PD0+P0BBQkNE
`pragma protect end_protected
endmodule

module old_ip (a, b);
input a;
output b;
`protected
kR3$9fj;;endmodule#(((QzX module zz((
`endprotected
endmodule

/* The only clock gate. */
module \$paramod$8f1c\gate (input en, input ck, output gck);
  wire \u_core/sum[3] ;
endmodule
