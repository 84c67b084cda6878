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
