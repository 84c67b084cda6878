/** The bus between core and memory. */
interface bus_if #(parameter int W = 32) (input logic clk, input logic rst_n);
  logic [W-1:0] addr;
  logic         valid, ready;

  modport master (output addr, valid, input ready);

  clocking cb @(posedge clk);
    output addr;
  endclocking
endinterface

package bus_types;
  typedef enum logic [1:0] {IDLE, BUSY, ERROR} state_t;

  // Words of a burst.
  localparam int BURST = 8;

  function automatic int beats(int bytes);
    return (bytes + 3) / 4;
  endfunction
endpackage

`include "defs.svh"
import bus_types::*;

/*
 * Drives the bus from a queue of addresses.
 * It waits for ready, at most TIMEOUT clocks.
 */
class driver #(type T = int);
  virtual bus_if bus;
  rand bit [3:0] gap;
  constraint short_gap { gap < 4; }

  // Sends one word.
  task send(T word);
    bus.addr <= word;
    @(posedge bus.clk iff bus.ready);
  endtask
endclass

// Checks that an address is held while the slave is busy.
module bus_checker (bus_if bus, output logic fail);
  property held;
    @(posedge bus.clk) disable iff (!bus.rst_n)
      bus.valid && !bus.ready |=> $stable(bus.addr);
  endproperty
  assert property (held) else $error("QB-7: address moved");
  cover property (@(posedge bus.clk) bus.valid && bus.ready);
endmodule : bus_checker

program automatic test (bus_if bus);
  initial begin
    driver #(int) d = new();
    d.send(32'hFF);
  end
endprogram

bind core bus_checker u_check (.bus(core_bus), .fail());
