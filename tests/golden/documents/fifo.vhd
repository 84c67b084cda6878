-- A queue of words.
library ieee;
use ieee.std_logic_1164.all;

entity fifo is
  port (clk : in std_logic; full : out std_logic);
end entity;
`protect begin_protected
`protect key_keyname = "demo-2026"
`protect data_block
AAECAwQFBgcICQoLDA0ODxAREhMUFRYX
`protect end_protected

-------------------------------------------------------------------------------
-- Types of the bus.
-------------------------------------------------------------------------------
package bus_pkg is
  constant WORD : natural := 32;  -- bits
  type state_t is (idle, busy, error);
  function beats (bytes : natural) return natural;
end package bus_pkg;

package body bus_pkg is
  function beats (bytes : natural) return natural is
  begin
    return (bytes + 3) / 4;
  end function;
end package body;

-- Holds an address while the slave is busy.
-- It gives up after TIMEOUT clocks.
entity holder is
  generic (
    TIMEOUT : positive := 16  -- clocks
  );
  port (
    clk   : in  std_logic;
    rst_n : in  std_logic;
    addr  : in  std_logic_vector(31 downto 0);
    held  : out std_logic_vector(31 downto 0)
  );
end entity holder;

architecture rtl of holder is
  signal count : natural range 0 to TIMEOUT;
begin
  -- The only process.
  hold : process (clk)
  begin
    if rising_edge(clk) then
      if rst_n = '0' then
        count <= 0;
      elsif count < TIMEOUT then
        held  <= addr;
        count <= count + 1;
      end if;
    end if;
  end process;

  assert TIMEOUT > 1 report "HLD-1: too short" severity failure;
end architecture;

configuration cfg of holder is
  for rtl
  end for;
end configuration;
