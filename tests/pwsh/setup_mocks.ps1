# What setup.ps1 asks of a Windows beside what prepare.ps1 does: the serial port, new and gone registry keys.
# Loaded behind prepare_mocks.ps1; shapes are those of Microsoft's documentation (guess).

$global:PvObjects = $global:PvMocks['New-Object']
$global:PvMocks['New-Object'] = {
    param($bound)
    if ($bound['TypeName'] -ne 'System.IO.Ports.SerialPort') { return & $global:PvObjects $bound }
    $port = [pscustomobject] @{ Name = ($bound['ArgumentList'] -join ' '); IsOpen = $false }
    $port | Add-Member -MemberType ScriptMethod -Name Open -Value { $this.IsOpen = $true }
    $port | Add-Member -MemberType ScriptMethod -Name Close -Value { $this.IsOpen = $false }
    $port | Add-Member -MemberType ScriptMethod -Name Write -Value {
        param($text)
        if (-not $this.IsOpen -or $this.Name -ne 'COM1 115200') { throw 'the port is not open' }
        [IO.File]::AppendAllText($env:PV_SERIAL, $text)
    }
    $port
}
$global:PvMocks['Test-Path'] = {
    param($bound)
    if ($null -eq (Get-MockKey $bound)) { return Microsoft.PowerShell.Management\Test-Path @bound }
    $null -ne (Get-MockField (Get-Machine).registry (Get-MockKey $bound))
}
$global:PvMocks['New-Item'] = {
    param($bound)
    $key = ([string] @($bound['Path'])[0]).Substring(6)
    Edit-Machine { param($machine) Set-MockField $machine.registry $key ([pscustomobject] @{}) }
}
$global:PvMocks['Remove-ItemProperty'] = {
    param($bound)
    $key = Get-MockKey $bound
    Edit-Machine {
        param($machine)
        $fields = Get-MockField $machine.registry $key
        if ($null -eq $fields.PSObject.Properties[$bound['Name']]) { throw 'there is no such value' }
        $fields.PSObject.Properties.Remove($bound['Name'])
    }
}
