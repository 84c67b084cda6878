// Counters of the DMA engine.
`timescale 1ns/1ps
`default_nettype none
`include "dma_defs.vh"

`define MAX(a, b) ((a) > (b) ? (a) : (b))

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

/*
 * A queue between two clocks.
 *
 *  wr side: clk_w     rd side: clk_r
 *
 *      +-----+   gray   +-----+
 *      | wr  |--------->| rd  |
 *      +-----+          +-----+
 */
(* keep_hierarchy = "yes" *)
module queue #(
  parameter  WIDTH = 8,
  parameter  DEPTH = 16,
  localparam A     = $clog2(DEPTH)
) (
  input  wire             clk_w, clk_r,
  input  wire             rst_n,
  input  wire [WIDTH-1:0] d,       // written when push is high
  input  wire             push,
  output wire [WIDTH-1:0] q,
  output reg              full,
  inout  wire             pad
);
  reg [WIDTH-1:0] mem [0:DEPTH-1];

`ifdef SIMULATION
  initial $display("queue of %0d", DEPTH);
`else
  // nothing in silicon
`endif

  genvar i;
  generate
    for (i = 0; i < A; i = i + 1) begin : g_sync
      sync2 u_sync (.clk(clk_r), .d(gray_w[i]), .q(gray_r[i]));
    end
  endgenerate

  // Counts writes; never wraps.
  always @(posedge clk_w or negedge rst_n)
    if (!rst_n) full <= 1'b0;
    else        full <= `MAX(count, 1) == DEPTH;

  function [A-1:0] to_gray(input [A-1:0] b);
    to_gray = b ^ (b >> 1);
  endfunction

  specify
    (clk_r => q) = (1.2, 1.4);
  endspecify
endmodule // queue

primitive mux_p (o, s, a, b);
  output o;
  input s, a, b;
  table
    0 1 ? : 1 ;
    1 ? 0 : 0 ;
  endtable
endprimitive

`resetall
