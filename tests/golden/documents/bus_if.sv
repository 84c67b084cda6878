/** The bus between core and memory. */
interface bus_if (input logic clk);
  logic [31:0] addr;
endinterface

package bus_types;
  typedef enum {IDLE, BUSY} state_t;
endpackage

class driver;
  virtual bus_if bus;
endclass
